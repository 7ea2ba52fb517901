// The one sentence that says what is going on, to be read from the back of a
// room. A screen reader reads it out when it changes.

import { coarse, count, duration } from './format.js';
import { text } from './dom.js';

const headline = document.getElementById('headline');
const icon = document.getElementById('icon');
const icons = { away: 'trouble', trouble: 'trouble', waiting: 'waiting', done: 'done', back: 'done', counting: '', connecting: 'waiting' };
let announced = '';

export function showHeadline(model) {
  const [kind, what, clock] = sentence(model);
  headline.dataset.kind = kind;
  text('headline-text', clock ? `${what} · ${clock}` : what);
  document.body.classList.toggle('away', kind === 'away' || kind === 'connecting');
  document.body.classList.toggle('done', kind === 'done');
  if (what !== announced) {
    announced = what;
    text('announce', what);
  }
}

// showTitle puts number and state into the tab.
export function showTitle(model) {
  const [kind, what] = sentence(model);
  const n = model.state ? count(model.state.count) : '';
  document.title = kind === 'counting' || !n ? `${n || what} · Counting` : `${n} · ${what}`;
  const href = `page/icon${icons[kind] ? `-${icons[kind]}` : ''}.svg`;
  if (icon.getAttribute('href') !== href) icon.setAttribute('href', href);
}

// sentence returns the kind of state, what it is called, and how long it has
// lasted. What the page cannot know, as the server is not heard, it does not say.
export function sentence(model) {
  const { state } = model;
  if (state === null) {
    const ms = performance.now() - model.opened;
    return ms > 4_000 ? ['connecting', 'The server cannot be reached', coarse(ms)] : ['connecting', 'Connecting'];
  }
  if (model.done()) return ['done', `Counted to ${count(state.count)}`];
  const since = (from) => coarse(model.now() - from);
  if (model.awaySince !== null) return ['away', 'The server is away', since(model.awaySince)];
  const silent = model.silent();
  if (silent) return ['away', 'Nothing is heard from the server', coarse(silent)];
  if (state.storage) return ['trouble', capital(state.storage.reason), since(Date.parse(state.storage.since))];

  const free = state.seats.filter((s) => !s.taken).map((s) => s.seat);
  const stopped = state.interruption;
  if (free.length) {
    const who = free.length === 2 ? 'both clients' : free[0];
    if (!stopped || stopped.cause === 'server') {
      const clock = since(Date.parse(stopped ? stopped.after : state.since));
      return ['waiting', stopped ? `Server back, ${free.length === 2 ? 'no client' : `no ${free[0]}`} yet` : `Waiting for ${who}`, clock];
    }
    return ['trouble', free.length === 2 ? 'Both clients are gone' : `${free[0]} is gone`, since(Date.parse(stopped.at))];
  }
  if (stopped?.cause === 'stall') return ['trouble', `${model.next().seat} sends nothing`, since(Date.parse(stopped.after))];
  if (stopped) return ['waiting', 'Both clients are here', since(Date.parse(stopped.after))];
  const back = model.recovery();
  if (back) return ['back', `Back after ${duration(back.seconds * 1000)}, ${model.lost || model.fault ? 'but numbers are missing' : 'nothing lost'}`];
  if (!model.lines.length && state.count === 0) return ['waiting', 'Both clients are here'];
  return ['counting', 'Counting'];
}

const capital = (words) => words[0].toUpperCase() + words.slice(1);
