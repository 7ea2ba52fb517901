// How far the count is.

import { count, coarse } from './format.js';
import { text } from './dom.js';

const number = document.getElementById('number');
const progress = document.getElementById('progress');

export function showCount(model) {
  const last = model.newest();
  const n = last?.number ?? 0;
  text(number, last && !last.number ? '?' : count(n));
  number.classList.toggle('wide', n >= 1e6);
  text('spelling', last?.text ?? 'nothing has been counted yet');
  document.title = last ? `${count(n)} · Counting` : 'Counting';

  const { goal } = model.state;
  progress.hidden = !goal || n > goal;
  progress.max = goal || 1;
  progress.value = n;
  text('goal', progress.hidden ? '' : `of ${count(goal)}`);

  const at = model.lastAt();
  text('ago', at === null ? '' : `last number ${ago(model.now() - at)}`);
  text('proof', proof(model.lines));
}

function ago(ms) {
  return ms < 1_500 ? 'just now' : `${coarse(ms)} ago`;
}

// proof says whether the lines that the page has are the count without a gap.
function proof(lines) {
  if (!lines.length) return '';
  const bad = lines.find((l) => l.number !== l.line);
  if (bad) return `line ${count(bad.line)} is not ${count(bad.line)}`;
  const all = lines[0].line === 1 ? `all ${count(lines.length)} lines` : `the last ${count(lines.length)} lines`;
  return `${lines.length === 1 ? 'the one line' : all} in order, none lost, none twice`;
}
