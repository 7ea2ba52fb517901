// What happened, the latest first.

import { clock, coarse, duration, moment } from './format.js';
import { make, text } from './dom.js';

const list = document.getElementById('timeline');
const most = 40;
let before = '';

const words = {
  server_started: () => 'The server started',
  server_stopped: () => 'The server was stopped',
  seat_taken: (a) => `${a.seat} took its seat`,
  seat_left: (a) => `${a.seat} left`,
  both_seats_taken: () => 'A client found both seats taken',
  number_refused: (a) => `A number${a.seat ? ` of ${a.seat}` : ''} was refused: ${a.reason.replaceAll('_', ' ')}`,
  storage_failing: (a) => `The count cannot be written: ${a.reason}`,
  storage_restored: () => 'numbers.txt can be written again',
  count_resumed: (a) => `The count went on after ${duration(a.seconds * 1000)}`,
};

export function showTimeline(model) {
  const items = model.activities.filter((a) => words[a.what]).slice(-most).reverse();
  const now = items.map((a) => `${a.id} ${a.times}`).join();
  if (now !== before) {
    before = now;
    list.replaceChildren(...items.map((a) => item(a, model)));
  }
  const { version, started, host } = model.state;
  text('server', host);
  text('since', `Server ${version}${host ? ` on ${host}` : ''}, started at ${moment(Date.parse(started), model.now())}, ${coarse(model.now() - Date.parse(started))} ago`);
}

function item(a, model) {
  const li = make('li', a.what);
  const sign = make('span', 'sign');
  sign.setAttribute('aria-hidden', 'true');
  if (a.seat) sign.classList.add('shape', a.seat);
  const time = make('time', '', moment(Date.parse(a.at), model.now()));
  time.dateTime = a.at;
  const times = a.times > 1 ? ` (${a.times} times until ${clock(Date.parse(a.until))})` : '';
  li.append(sign, make('span', 'what', words[a.what](a) + times), time);
  return li;
}
