// The live page. It puts what the stream says into the model, and shows the
// model a few times a second at most.

import { gameQuery } from './address.js';
import { follow } from './stream.js';
import { Model } from './model.js';
import { showTitle, showHeadline } from './headline.js';
import { showHero } from './hero.js';
import { showSeats } from './seats.js';
import { showLanes } from './lanes.js';
import { showDots } from './dots.js';
import { showIncidents } from './incidents.js';
import { showTimeline } from './timeline.js';
import { showLines } from './lines.js';
import { showRate } from './rate.js';
import { prepare } from './prepare.js';

// ms from one showing to the next, and while more lines come than anybody can read
const shortest = 100;
const shortestAtSpeed = 300;
const lostFrame = 1_000; // ms after which a frame does not come any more, as in a tab that was frozen
const model = new Model();
const views = [showHeadline, showHero, showSeats, showLanes, showDots, showIncidents, showTimeline, showLines, showRate];
let asked = -Infinity; // when a showing was asked for that has not been yet
let shown = 0;
let titleDue = false;

function show() {
  asked = -Infinity;
  shown = performance.now();
  showHeadline(model);
  if (model.state === null) return;
  for (const view of views) view(model);
}

// changed has the page shown soon. The title and the icon do not wait for an
// animation frame, which a hidden tab does not get.
function changed() {
  if (!titleDue) {
    titleDue = true;
    setTimeout(() => { titleDue = false; showTitle(model); }, 500);
  }
  if (document.hidden || performance.now() - asked < lostFrame) return;
  asked = performance.now();
  const wait = shown + (model.fast() ? shortestAtSpeed : shortest) - performance.now();
  if (wait <= 0) requestAnimationFrame(show);
  else setTimeout(() => requestAnimationFrame(show), wait);
}

const then = (take) => (data) => { take(data); changed(); };

prepare(gameQuery());
follow({
  state: then((s) => model.takeState(s)),
  status: then((s) => model.takeStatus(s)),
  line: then((l) => model.takeLine(l)),
  happening: then((a) => model.takeActivity(a)),
  interruption: then((i) => model.takeInterruption(i)),
  time: then((t) => model.takeTime(t)),
  heard: () => model.takeHeard(),
  link: then((how) => model.takeLink(how)),
  position: () => model.position(),
});
setInterval(changed, 1_000); // durations grow while nothing happens
document.addEventListener('visibilitychange', changed);
