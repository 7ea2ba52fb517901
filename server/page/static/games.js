// The overview: a tile for each game that is open, those that stand still in front.
// It asks for a list of all of them, so that hundreds of games cost one request.

import { displayMode } from './address.js';
import { coarse, count } from './format.js';
import { make, text } from './dom.js';

const period = 1_000; // ms from one request to the next
const hiddenPeriod = 10_000; // while the tab is hidden
const answerTime = 4_000; // for the server to answer
const perRequest = 1_000; // games
const order = ['trouble', 'idle', 'counting', 'done'];
const seats = ['client1', 'client2'];

const list = document.getElementById('tiles');
const tiles = new Map(); // by the game's name
let base = 0; // the server's clock when performance.now() was 0
let awaySince = null;
let announced = '';

const now = () => base + performance.now();

// games returns all open games, and sets the clock.
async function games() {
  const all = [];
  for (let next = null; ;) {
    const url = new URL('games', document.baseURI);
    url.search = new URLSearchParams({ open: '', limit: perRequest, ...(next === null ? {} : { after: next }) });
    const answer = await fetch(url, { cache: 'no-store', headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(answerTime) });
    if (!answer.ok) throw new Error(`games: ${answer.status}`);
    const page = await answer.json();
    base = Date.parse(page.now) - performance.now();
    all.push(...page.games);
    if (!page.next) return all;
    next = page.next;
  }
}

// what says how a game is doing, and when that began if it stands still.
function what(game) {
  const missing = seats.filter((seat) => !game.seats.includes(seat));
  const who = missing.length === 2 ? 'both clients' : missing[0];
  switch (game.state) {
    case 'done': return 'Done';
    case 'counting': return game.count ? 'Counting' : 'Both clients are here';
    case 'idle': return `Waiting for ${who}`;
  }
  if (game.cause === 'storage') return game.fault;
  if (missing.length) return missing.length === 2 ? 'Both clients are gone' : `${who} is gone`;
  return game.cause === 'stall' ? 'Nothing comes' : 'Both clients are here';
}

// makeTile makes the tile of a game.
function makeTile(game) {
  const item = make('li', 'tile');
  const link = make('a');
  const url = new URL('./', document.baseURI);
  if (game.game) url.searchParams.set('game', game.game);
  link.href = url;
  const title = make('h2', '', game.game);
  if (!game.game) title.append(make('small', '', 'the default game'));
  const number = make('p', 'tile-number');
  number.append(make('span'), ' ', make('small'));
  const progress = make('progress');
  progress.setAttribute('aria-label', 'Progress of the count');
  const row = make('p', 'tile-seats');
  for (const seat of seats) {
    const entry = make('span');
    const shape = make('span', `shape ${seat}`);
    shape.setAttribute('aria-hidden', 'true');
    entry.append(shape, make('span', '', seat));
    row.append(entry);
  }
  link.append(title, number, progress, row, make('p', 'tile-state'));
  item.append(link);
  return item;
}

function showTile(item, game) {
  if (item.dataset.state !== game.state) item.dataset.state = game.state;
  const [number, goal] = item.querySelector('.tile-number').children;
  text(number, count(game.count));
  text(goal, game.goal ? `of ${count(game.goal)}` : '');
  const progress = item.querySelector('progress');
  progress.hidden = !game.goal;
  progress.max = game.goal || 1;
  progress.value = Math.min(game.count, game.goal || 1);
  for (const [i, entry] of [...item.querySelector('.tile-seats').children].entries()) {
    const there = game.seats.includes(seats[i]);
    entry.firstElementChild.className = `shape ${there ? seats[i] : 'nobody'}`;
    text(entry.lastElementChild, there ? seats[i] : `no ${seats[i]}`);
  }
  const since = game.since && game.count ? ` · ${coarse(now() - Date.parse(game.since))}` : '';
  text(item.querySelector('.tile-state'), what(game) + since);
}

function show(all) {
  all.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || (a.game < b.game ? -1 : 1));
  const focused = document.activeElement;
  for (const [i, game] of all.entries()) {
    let item = tiles.get(game.game);
    if (!item) tiles.set(game.game, item = makeTile(game));
    showTile(item, game);
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  }
  const names = new Set(all.map((game) => game.game));
  for (const [name, item] of tiles) {
    if (names.has(name)) continue;
    item.remove();
    tiles.delete(name);
  }
  fit(all.length);
  if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true }); // it was moved
  document.getElementById('none').hidden = all.length > 0;
  sum(all);
}

// fit makes the tiles of the display mode as large as possible. A tile is about 11
// times as wide and 5 times as high as its letters.
function fit(tiles) {
  let best = { size: 0 };
  for (let columns = 1; columns <= tiles; columns++) {
    const size = Math.min(list.clientWidth / columns / 11, list.clientHeight / Math.ceil(tiles / columns) / 5);
    if (size > best.size) best = { size, columns };
  }
  if (!tiles || !document.body.classList.contains('display')) return;
  list.style.setProperty('--columns', best.columns);
  list.style.setProperty('--tile', `${Math.floor(best.size)}px`);
}

// sum sums up the games, in the page, in the tab's title and, when the number of
// those that stand still changes, for a screen reader.
function sum(all) {
  const number = (states) => all.filter((game) => states.includes(game.state)).length;
  const [still, counting, done] = [number(['trouble', 'idle']), number(['counting']), number(['done'])];
  const games = `${count(all.length)} ${all.length === 1 ? 'game' : 'games'}`;
  text('summary', `${games}: ${count(still)} standing still, ${count(counting)} counting, ${count(done)} done`);
  document.title = `${still ? `${count(still)} of ${games} standing still` : games} · Counting`;
  const words = `${count(still)} of ${games} standing still`;
  if (words !== announced) {
    announced = words;
    text('announce', words);
  }
}

function showAway(away) {
  if (!away) awaySince = null;
  else awaySince ??= performance.now();
  document.body.classList.toggle('away', away);
  const note = document.getElementById('away');
  note.hidden = !away;
  if (away) text(note, `The server is away · ${coarse(performance.now() - awaySince)}`);
}

document.body.classList.toggle('display', displayMode);
const display = document.getElementById('display');
display.href = displayMode ? 'games' : 'games?display';
text(display, displayMode ? 'Page' : 'Display mode');
new ResizeObserver(() => fit(tiles.size)).observe(list);

let wake = () => {};
document.addEventListener('visibilitychange', () => { if (!document.hidden) wake(); });

for (;;) {
  try {
    show(await games());
    showAway(false);
  } catch {
    showAway(true);
  }
  document.querySelector('main').hidden = false;
  await new Promise((done) => {
    wake = done;
    setTimeout(done, document.hidden ? hiddenPeriod : period);
  });
}
