// Numbers a second, over the last three minutes.

import { rate } from './format.js';
import { text } from './dom.js';

const bucket = 3_000;
const buckets = 60;
const chart = document.getElementById('rate-chart');
const [width, height] = [300, 90];
const step = width / buckets;
const bars = Array.from({ length: buckets }, (_, i) => {
  const bar = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  bar.setAttribute('x', i * step + 0.5);
  bar.setAttribute('width', step - 1);
  chart.append(bar);
  return bar;
});

export function showRate(model) {
  const now = model.now();
  const first = Math.floor(now / bucket) - buckets; // the bucket that is being filled is left out
  const counts = new Array(buckets).fill(0);
  let [lately, earliest] = [0, buckets];
  for (let i = model.lines.length - 1; i >= 0; i--) {
    const { at } = model.lines[i];
    if (at === null) continue;
    const b = Math.floor(at / bucket) - first;
    if (b < 0) {
      earliest = 0;
      break;
    }
    earliest = Math.min(earliest, b);
    if (b < buckets) counts[b]++;
    if (now - at <= 6_000) lately++;
  }
  const most = Math.max(...counts, bucket / 1_000); // one a second is not drawn as if it were many
  const end = model.done() ? counts.findLastIndex((n) => n > 0) : buckets;
  bars.forEach((bar, i) => {
    const h = counts[i] ? Math.max(2, (counts[i] / most) * height) : 2;
    bar.setAttribute('height', h);
    bar.setAttribute('y', height - h);
    bar.classList.toggle('none', !counts[i] && (i < earliest || i > end));
    bar.classList.toggle('still', !counts[i]);
  });
  const current = model.awaySince === null ? rate(lately / 6) : '–';
  const highest = rate((Math.max(...counts) * 1000) / bucket);
  text('rate-now', current);
  text('rate-most', `at most ${highest}`);
  chart.setAttribute('aria-label', `${current} numbers a second now, ${highest} at most in the last 3 minutes`);
}
