// How far the count is.

import { count, coarse, duration, rate } from './format.js';
import { text } from './dom.js';

const rateTime = 6_000;
const number = document.getElementById('number');
const progress = document.getElementById('progress');
const start = document.getElementById('start');

export function showHero(model) {
  const { state } = model;
  const n = state.count;
  const empty = state.lines === 0 && !state.seats.every((s) => s.taken);
  start.hidden = !empty;
  document.body.classList.toggle('empty', empty);
  text(number, count(n));
  number.classList.toggle('wide', n >= 1e6);
  text('spelling', spelling(model));

  const { goal } = state;
  progress.hidden = !goal || n > goal;
  progress.max = goal || 1;
  progress.value = n;
  text('goal', progress.hidden ? '' : `of ${count(goal)}`);

  const at = model.lastAt();
  text('ago', at === null ? '' : `last number ${ago(model.now() - at)}`);
  text('rate-now', model.awaySince === null && !model.done() && state.lines ? `${rate(current(model))} per second` : '');
  text('proof', proof(model));

  text('tally-text', tallied(model));
}

// tallied sums up the interruptions, the one that lasts included.
function tallied(model) {
  const { tally, interruption } = model.state;
  const lost = `${count(model.lost)} lost`;
  let { interruptions, longest } = tally;
  if (interruption && !model.done()) {
    interruptions++;
    longest = Math.max(longest, (model.now() - Date.parse(interruption.after)) / 1000);
  }
  if (!interruptions) return `No interruption so far, ${lost}`;
  return `${count(interruptions)} ${interruptions === 1 ? 'interruption' : 'interruptions'}, longest ${duration(longest * 1000)}, ${lost}`;
}

function spelling(model) {
  const n = model.state.count;
  const line = n > 0 && (model.lines.findLast((l) => l.number === n) ?? [model.state.last].find((l) => l?.number === n));
  if (line) return line.text;
  return model.state.lines ? '\u00a0' : 'nothing has been counted yet';
}

function ago(ms) {
  return ms < 1_500 ? 'just now' : `${coarse(ms)} ago`;
}

// current is the rate over the last seconds.
function current(model) {
  const from = model.now() - rateTime;
  const first = model.lines.findLastIndex((l) => l.at === null || l.at < from) + 1;
  return (model.lines.length - first) * 1000 / rateTime;
}

// proof says whether the lines that the page has are the count without a gap.
function proof(model) {
  const { lines, fault, lost } = model;
  if (fault) return lost ? `${count(lost)} missing, the last before line ${count(fault.line)}` : `line ${count(fault.line)} does not follow the one before`;
  if (!model.state.unbroken) {
    const from = model.oldFrom || (lines.at(-1)?.timed ? 0 : model.state.count + 1);
    return from ? `an old file: counted on from ${count(from)}` : 'an old file: counted on, in order';
  }
  if (!lines.length) return '';
  const all = lines[0].line === 1 ? `all ${count(lines.length)} lines` : `the last ${count(lines.length)} lines`;
  return `${lines.length === 1 ? 'the one line' : all} in order, none lost, none twice`;
}
