// A dot for each number, a hundred to the row (fifty on a phone), so that a dot
// that is there moves only with its row.

import { count, duration } from './format.js';
import { make } from './dom.js';

const perRow = matchMedia('(max-width: 40rem)').matches ? 50 : 100;
const box = document.getElementById('rows');
box.style.setProperty('--per-row', perRow);
const rows = new Map(); // by the number of the row
let start = -1;
let shown = 0; // the last line that has a dot
let placed = '';
let room = 0; // for so many rows, 0 if that has to be measured

export function showDots(model) {
  if (start !== model.start) {
    box.replaceChildren();
    rows.clear();
    [start, shown, placed] = [model.start, 0, ''];
  }
  const from = model.lines.findLastIndex((l) => l.line <= shown) + 1;
  const fresh = model.lines.length - from;
  if (fresh === 0 && (placed || rows.size === 0)) return;
  for (const l of model.lines.slice(from)) {
    dot(l, fresh < 3 && l.timed);
    shown = l.line;
  }
  if (rows.size) arrange();
  const gaps = [...model.interruptions.values()].slice(-5).map((i) => `${duration(i.seconds * 1000)} before ${count(i.line)}`);
  box.setAttribute('aria-label', `${count(model.lines.length)} numbers, up to line ${count(shown)}; ${gaps.length ? `the latest interruptions: ${gaps.join(', ')}` : 'no interruption'}`);
}

function dot(l, isNew) {
  const i = Math.floor((l.line - 1) / perRow);
  let row = rows.get(i);
  if (!row) {
    row = { element: make('div', 'row'), dots: make('div', 'row-dots'), note: make('span', 'row-gap'), longest: 0 };
    row.element.append(make('span', 'row-label', count(i * perRow + 1)), row.dots, row.note);
    rows.set(i, row);
    box.append(row.element);
  }
  const e = make('i', `shape ${l.seat ?? 'nobody'}`);
  e.style.setProperty('grid-column', ((l.line - 1) % perRow) + 1);
  if (!l.timed) e.classList.add('untimed');
  if (isNew) e.classList.add('fresh');
  if (l.interruption) {
    e.classList.add('after-gap');
    row.longest = Math.max(row.longest, l.gap);
    row.note.textContent = duration(row.longest);
  }
  row.dots.append(e);
}

// arrange moves the rows so that the last ones are seen, and drops the others.
function arrange() {
  const last = Math.max(...rows.keys());
  if (!room) room = Math.max(1, Math.round(box.clientHeight / rows.get(last).element.offsetHeight));
  const top = Math.max(Math.min(...rows.keys()), last - room + 1);
  const where = `${top} ${last} ${room}`;
  if (where === placed) return;
  placed = where;
  for (const [i, row] of rows) {
    if (i <= last - 20) {
      row.element.remove();
      rows.delete(i);
    } else {
      row.element.style.transform = `translateY(${(i - top) * 100}%)`;
      row.element.hidden = i < top;
    }
  }
}

new ResizeObserver(() => { room = 0; placed = ''; }).observe(box);
