// The one sentence that says what goes on, to be seen from the back of a room;
// it alone is read out by a screen reader, when it changes.

import { coarse, count, duration } from './format.js';
import { text } from './dom.js';

const status = document.getElementById('status');
const worrying = 5_000; // ms without a number
let announced = '';
let resumed = '';

export function showStatus(model) {
  const [kind, what, clock] = sentence(model);
  status.dataset.kind = kind;
  text('status-text', clock ? `${what} · ${clock}` : what);
  document.body.classList.toggle('away', kind === 'away');
  document.body.classList.toggle('done', kind === 'done');

  const h = model.happenings.findLast((h) => h.what === 'count_resumed');
  const news = h && h.key !== resumed ? `, after ${duration(h.seconds * 1000)} of standing still` : '';
  if (what !== announced || news) {
    text('announce', what + news);
    announced = what;
    resumed = h?.key ?? '';
  }
}

function sentence(model) {
  const { state } = model;
  const since = (from) => coarse(model.now() - from);
  if (model.done()) return ['done', `Counted to ${count(model.newest().number)}`];
  if (model.awaySince !== null) return ['away', 'The server is away', since(model.awaySince)];
  if (state.failing || state.storage) return ['trouble', 'numbers.txt cannot be written'];
  const free = state.seats.filter((s) => !s.taken).map((s) => s.seat);
  if (free.length === 2) return ['waiting', 'Waiting for both clients', since(Date.parse(state.since))];
  if (free.length) return ['waiting', `Waiting for ${free[0]}`, since(Date.parse(state.since))];
  const still = model.still();
  const running = model.now() - Date.parse(state.since);
  if (Math.min(still, running) > worrying) return ['trouble', 'Both clients are here, but nothing comes', coarse(still)];
  return ['counting', 'Counting'];
}
