// What happened, the latest first.

import { coarse, duration, time } from './format.js';
import { make } from './dom.js';

const list = document.getElementById('timeline');
const most = 40;
let before = '';

const words = {
  server_started: () => 'The server started',
  seat_taken: (h) => `${h.seat} took its seat`,
  seat_left: (h) => `${h.seat} left`,
  both_seats_taken: () => 'A client came while both seats were taken',
  storage_failing: () => 'numbers.txt cannot be written',
  storage_restored: () => 'numbers.txt can be written again',
  count_resumed: (h) => `The count went on after ${duration(h.seconds * 1000)}`,
  server_away: (h) => (h.seconds ? `The server was away for ${duration(h.seconds * 1000)}` : 'The server went away'),
};

export function showTimeline(model) {
  const items = merge(model.happenings.filter((h) => words[h.what])).slice(-most).reverse();
  const now = items.map((h) => `${h.key} ${h.seconds} ${h.times}`).join();
  if (now !== before) {
    before = now;
    list.replaceChildren(...items.map(item));
  }
  const server = document.getElementById('server');
  const { version, started } = model.state;
  server.textContent = `Server ${version}, started at ${time(Date.parse(started))}, ${coarse(model.now() - Date.parse(started))} ago`;
}

// merge takes what happened several times in a row together.
function merge(happenings) {
  const merged = [];
  for (const h of happenings) {
    const last = merged.at(-1);
    if (last && last.what === h.what && h.what === 'both_seats_taken') {
      merged[merged.length - 1] = { ...h, times: last.times + 1 };
    } else {
      merged.push({ ...h, times: 1 });
    }
  }
  return merged;
}

function item(h) {
  const li = make('li', h.what);
  const sign = make('span', 'sign');
  sign.setAttribute('aria-hidden', 'true');
  const at = make('time', '', time(h.at));
  at.dateTime = new Date(h.at).toISOString();
  const said = words[h.what](h) + (h.times > 1 ? ` (${h.times} times)` : '');
  li.append(sign, make('span', 'what', said), at);
  if (h.seat) sign.classList.add('shape', h.seat);
  return li;
}
