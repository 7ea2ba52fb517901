// The interruptions: one row for each, the latest first.

import { coarse, duration, moment } from './format.js';
import { make, text } from './dom.js';

const list = document.getElementById('incident-list');
const most = 50;
let before = '';

const words = {
  server: (time) => `server gone, back after ${time}`,
  client1: (time) => `client1 gone, back after ${time}`,
  client2: (time) => `client2 gone, back after ${time}`,
  storage: (time) => `disk trouble, over after ${time}`,
  stall: (time) => `no number for ${time}`,
};
const now = {
  server: 'server gone, no number for',
  client1: 'client1 gone for',
  client2: 'client2 gone for',
  storage: 'disk trouble for',
  stall: 'no number for',
};

export function showIncidents(model) {
  const over = [...model.interruptions.values()].filter((i) => words[i.cause]).slice(-most).reverse();
  const open = model.done() ? undefined : model.state.interruption;
  const key = `${over.map((i) => i.id)} ${open?.id}`;
  if (key !== before) {
    before = key;
    const rows = over.map((i) => item(i, words[i.cause](duration(i.seconds * 1000)), model));
    if (open && now[open.cause]) rows.unshift(item(open, '', model));
    list.replaceChildren(...(rows.length ? rows : [make('li', 'none', 'None so far')]));
    text('tally-last', over.length && !open ? `${at(over[0], model)} ${words[over[0].cause](duration(over[0].seconds * 1000))}` : '');
  }
  if (open && now[open.cause]) {
    const lasting = `${now[open.cause]} ${coarse(model.now() - Date.parse(open.after))}`;
    text(list.querySelector('.what'), lasting);
    text('tally-last', lasting);
  }
}

const at = (i, model) => moment(Date.parse(i.at), model.now());

function item(i, what, model) {
  const li = make('li', i.line ? `cause-${i.cause}` : `cause-${i.cause} open`);
  const time = make('time', '', at(i, model));
  time.dateTime = i.at;
  li.append(time, make('span', 'what', what));
  return li;
}
