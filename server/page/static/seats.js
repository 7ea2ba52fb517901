// Who holds the seats.

import { coarse, count, moment, ordinal } from './format.js';
import { text } from './dom.js';

const cards = [...document.querySelectorAll('.seat')];

export function showSeats(model) {
  const known = model.awaySince === null && !model.silent();
  const next = model.next();
  const { state } = model;
  for (const card of cards) {
    const seat = state.seats.find((s) => s.seat === card.dataset.seat);
    const due = next.seat === seat.seat && !model.done();
    card.classList.toggle('free', !seat.taken || !known);
    card.classList.toggle('turn', due && seat.taken && known);
    text(card.querySelector('.seat-state'), known ? `${seat.taken ? 'here' : 'empty'} for ${coarse(model.now() - Date.parse(seat.since))}` : 'not known');
    text(card.querySelector('.seat-nth'), seat.times > 1 ? `${ordinal(seat.times)} since ${moment(Date.parse(state.tally.since), model.now())}` : '');
    text(card.querySelector('.seat-next'), due ? `${next.number < 1e6 ? 'next:' : '→'} ${count(next.number)}` : '');
  }
  text('waiting', state.waiting && known ? `${state.waiting} ${state.waiting === 1 ? 'client waits' : 'clients wait'} for a seat` : '');
}
