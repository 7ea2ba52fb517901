// The last lines of numbers.txt.

import { count, duration } from './format.js';
import { make } from './dom.js';

const most = 6;
const rows = document.getElementById('line-rows');
let newest = null;

export function showLines(model) {
  if (newest === model.last()) return;
  newest = model.last();
  rows.replaceChildren(...model.lines.slice(-most).map(row).reverse());
}

function row(l) {
  const tr = make('tr');
  const number = make('th', '', count(l.line));
  number.scope = 'row';
  const said = make('td');
  const shape = make('span', `shape ${l.seat ?? 'nobody'}`);
  shape.title = l.seat ?? 'not a number';
  const line = make('span', 'line');
  line.append(shape, l.text);
  said.append(line);
  tr.append(number, said, make('td', l.interruption ? 'late' : '', l.gap === null ? '' : `+${duration(l.gap)}`));
  return tr;
}
