// Numbers per second, over the last three minutes.

import { rate } from './format.js';
import { text } from './dom.js';
import { bucket } from './model.js';

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
let drawn = 0;

export function showRate(model) {
  const first = Math.floor(model.now() / bucket) - buckets; // the bucket that is being filled is left out
  if (first === drawn) return;
  drawn = first;
  for (const b of model.perBucket.keys()) if (b < first) model.perBucket.delete(b);
  const counts = bars.map((_, i) => model.perBucket.get(first + i) ?? 0);
  const most = Math.max(...counts, bucket / 1_000); // one a second is not drawn as if it were many
  const begin = counts.findIndex((n) => n > 0);
  const end = model.done() ? counts.findLastIndex((n) => n > 0) : buckets;
  bars.forEach((bar, i) => {
    const h = counts[i] ? Math.max(2, (counts[i] / most) * height) : 2;
    bar.setAttribute('height', h);
    bar.setAttribute('y', height - h);
    bar.classList.toggle('none', !counts[i] && (begin < 0 || i < begin || i > end));
    bar.classList.toggle('still', !counts[i]);
  });
  const highest = rate((Math.max(...counts) * 1000) / bucket);
  text('rate-most', `at most ${highest}`);
  chart.setAttribute('aria-label', `At most ${highest} numbers per second in the last 3 minutes`);
}
