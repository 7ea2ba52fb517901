// A dot for each number, in order, and a gap where nothing came for long.

import { coarse, count, duration } from './format.js';
import { make } from './dom.js';
import { keep } from './model.js';

const beads = document.getElementById('beads');
const waiting = make('span', 'gap open');
let start = -1;
let shown = 0; // the last line that has a dot
let gaps = [];

export function showBeads(model) {
  const atEnd = beads.scrollHeight - beads.scrollTop - beads.clientHeight < 40;
  if (start !== model.start) {
    beads.replaceChildren();
    [start, shown, gaps] = [model.start, 0, []];
  }
  const fresh = document.createDocumentFragment();
  const from = model.lines.findLastIndex((l) => l.line <= shown) + 1;
  const few = model.lines.length - from < 20;
  for (const l of model.lines.slice(from)) {
    if (l.long) {
      fresh.append(make('span', 'gap', duration(l.gap)));
      gaps.push(`${duration(l.gap)} before ${count(l.line)}`);
    }
    const bead = make('i', `shape ${l.seat ?? 'nobody'}`);
    if (l.at === null) bead.classList.add('untimed');
    else if (few) bead.classList.add('fresh');
    fresh.append(bead);
    if (l.line % 100 === 0) fresh.append(make('span', 'mark', count(l.line)));
    shown = l.line;
  }
  const still = model.done() || !shown ? 0 : model.still();
  if (fresh.hasChildNodes()) {
    waiting.remove();
    beads.append(fresh);
    while (beads.childElementCount > keep + keep / 10) beads.firstElementChild.remove();
    label(model);
  }
  if (still) {
    waiting.textContent = coarse(still);
    beads.append(waiting);
  } else {
    waiting.remove();
  }
  if (atEnd) beads.scrollTop = beads.scrollHeight;
}

function label(model) {
  const all = `${count(model.lines.length)} numbers, up to ${count(shown)}`;
  const latest = gaps.length ? `; the latest gaps: ${gaps.slice(-5).join(', ')}` : '; no gap';
  beads.setAttribute('aria-label', all + latest);
}
