// Who was there when, and where nothing was counted: one lane for the server and
// one for each client, over the last 5 to 15 minutes.
//
// Everything lies on a track at its time, and the track moves: from one second to
// the next nothing else has to change.

import { clock, coarse, count, duration } from './format.js';
import { make } from './dom.js';

const chart = document.getElementById('lane-chart');
const track = document.getElementById('lane-track');
const minute = 60_000;
const scales = [5 * minute, 10 * minute, 15 * minute];

const names = document.getElementById('lane-names');
const openLabel = make('span', 'band-label now');
document.getElementById('lane-window').append(openLabel);

let origin = 0;
let scale = 0;
let drawn = '';
let shown = 0;

export function showLanes(model) {
  const now = model.now();
  const { state } = model;
  const away = model.awaySince ?? (model.silent() ? now - model.silent() : null);
  const open = model.done() ? null : current(model, away);
  const key = `${state.lanes.map((l) => `${l.spans.length} ${l.spans.at(-1)?.until}`)} ${model.interruptions.size} ${open?.from} ${away}`;
  if (key === drawn && now - shown < 1_000 && now >= shown) return;
  shown = now;

  if (!names.hasChildNodes()) names.append(...state.lanes.map((l) => make('span', `lane-name ${l.name}`, l.name)));
  const oldest = Math.min(...state.lanes.flatMap((l) => l.spans.map((s) => Date.parse(s.from))), ...[...model.interruptions.values()].map((i) => Date.parse(i.after)));
  const window = scales.find((s) => now - oldest < s) ?? scales.at(-1);
  if (window !== scale || now - origin > 60 * minute) [scale, origin, drawn] = [window, now, ''];
  track.style.transform = `translateX(${100 - place(now)}%)`;
  const tick = Math.floor(now / minute);
  if (`${key} ${tick}` !== drawn) {
    drawn = `${key} ${tick}`;
    draw(model, now, away, open, tick);
  }
  for (const e of track.querySelectorAll('.open')) size(e, Number(e.dataset.from), now);
  openLabel.textContent = open ? coarse(now - open.from) : '';
}

// place is where a time lies on the track, in percent of the window.
const place = (t) => ((t - origin) / scale) * 100 + 100;

function size(element, from, until) {
  element.style.left = `${place(from)}%`;
  element.style.width = `${Math.max(0, place(until) - place(from))}%`;
}

// current is the interruption that lasts.
function current(model, away) {
  if (model.state.interruption) return { from: Date.parse(model.state.interruption.after) };
  return away !== null && model.state.count > 0 ? { from: away } : null;
}

function draw(model, now, away, open, tick) {
  const from = now - scale;
  const fontSize = parseFloat(getComputedStyle(openLabel).fontSize);
  const elements = [];
  const add = (className, start, end, top) => {
    const e = make('span', className);
    if (top !== undefined) e.style.setProperty('--lane', top);
    if (end === null) {
      e.classList.add('open');
      e.dataset.from = start;
    }
    size(e, start, end ?? now);
    elements.push(e);
    return e;
  };
  for (const [i, lane] of model.state.lanes.entries()) {
    for (const s of lane.spans) {
      const until = s.until ? Date.parse(s.until) : away; // nobody knows who is there while the server is not heard
      if (until === null || until > from) add(`span ${lane.name}`, Date.parse(s.from), until, i);
    }
  }
  const said = [];
  const width = (text) => (scale * 0.66 * fontSize * (text.length + 1)) / track.clientWidth; // of a label, as a time
  let free = open ? now - width(coarse(now - open.from)) : Infinity; // until when labels have room
  for (const i of [...model.interruptions.values()].reverse()) {
    const start = Date.parse(i.after);
    const end = start + i.seconds * 1000;
    if (end < from) continue;
    add('band', start, end);
    const label = duration(i.seconds * 1000);
    said.push(label);
    if (end > free) continue;
    free = end - width(label);
    const e = make('span', 'band-label', label);
    e.style.left = `${place(end)}%`;
    elements.push(e);
  }
  if (open) add('band', open.from, null);
  for (let t = tick * minute; t > from; t -= minute) {
    if ((scale > scales[0] && (t / minute) % 2) || now - t < scale / 20) continue;
    const e = make('span', 'tick', clock(t));
    e.style.left = `${place(t)}%`;
    elements.push(e);
  }
  track.replaceChildren(...elements);
  const gaps = said.length ? `interruptions: ${said.slice(0, 5).join(', ')}` : 'no interruption';
  chart.setAttribute('aria-label', `The last ${count(scale / minute)} minutes: ${gaps}`);
}

new ResizeObserver(() => { drawn = ''; shown = 0; }).observe(track); // labels have another width
