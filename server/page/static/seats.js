// Who sits on which seat.

import { coarse, count } from './format.js';
import { text } from './dom.js';

const cards = [...document.querySelectorAll('.seat')];

export function showSeats(model) {
  const away = model.awaySince !== null;
  for (const card of cards) {
    const seat = model.state.seats.find((s) => s.seat === card.dataset.seat);
    const last = model.lines.findLast((l) => l.seat === seat.seat);
    card.classList.toggle('free', !seat.taken || away);
    card.classList.toggle('turn', !away && seat.taken && model.last()?.seat === seat.seat);
    text(card.querySelector('.seat-state'), state(seat, away, model));
    text(card.querySelector('.seat-last'), last ? `counted ${count(last.number)}` : '');
  }
}

function state(seat, away, model) {
  if (away) return 'not known';
  const since = coarse(model.now() - Date.parse(seat.since));
  return seat.taken ? `here for ${since}` : `empty for ${since}`;
}
