// Follows the server: a snapshot, then the stream, and again from the last line
// when the connection is lost. It never gives up.

import { address } from './address.js';

const firstWait = 500;
const longestWait = 2_000;
const answerTime = 4_000; // for the server to answer a small request
const silence = 7_000; // the server sends something at least every 5 s
const firstSilence = 3_000; // and the start of the stream right away
const pollWait = 1_000; // between requests where a stream is not possible
const hiddenWait = 5_000; // between requests while the tab is hidden

// follow calls
//   state(s), status(s), line(l), happening(a), interruption(i), time(t)
//             with what the server sends
//   heard()   when anything came
//   link(how) with 'live', 'refused' if the server has too many readers, or
//             'away' if it does not answer
// and position() for the last line that is known.
export async function follow(on) {
  let wait = firstWait;
  let buffered = false; // something between here and the server collects the stream
  for (;;) {
    try {
      if (!buffered) await snapshot(on);
      if (document.hidden) {
        on.link('live');
        await pause(hiddenWait);
        continue;
      }
      const end = await stream(on, buffered);
      wait = firstWait;
      if (end === 'buffered') buffered = true;
      if (end === 'refused') on.link('refused');
      if (!document.hidden) await pause(end === 'refused' ? 2 * pollWait : pollWait);
    } catch {
      buffered = false;
      on.link('away');
      await pause(wait * (0.75 + Math.random() / 2)); // pages do not all come back at the same moment
      wait = Math.min(2 * wait, longestWait);
    }
  }
}

async function snapshot(on) {
  const answer = await fetch(address('state'), { cache: 'no-store', signal: AbortSignal.timeout(answerTime) });
  if (!answer.ok) throw new Error(`state: ${answer.status}`);
  const state = await answer.json();
  on.heard();
  on.state(state);
}

// stream reads the stream until it ends, and says why: 'ended', 'hidden',
// 'refused' or 'buffered'. It throws an error if the server does not answer.
async function stream(on, once) {
  const abort = new AbortController();
  let why = 'ended';
  const end = (reason) => { why = reason; abort.abort(); };
  const hide = () => { if (document.hidden) end('hidden'); };
  document.addEventListener('visibilitychange', hide);
  let heard = performance.now();
  let longest = once ? 5 * answerTime : firstSilence;
  let probing = false;
  const watch = setInterval(async () => {
    if (probing || performance.now() - heard < longest) return;
    probing = true;
    const before = heard;
    try {
      await fetch(address('state'), { cache: 'no-store', signal: AbortSignal.timeout(answerTime) });
      await pause(1_000); // a server that was stopped sends what is due
      if (heard === before) end('buffered');
    } catch {
      if (heard === before) end('silent');
    }
    probing = false;
  }, 500);
  try {
    const parameters = { after: on.position() };
    if (once) parameters.once = '';
    const answer = await fetch(address('events', parameters), { cache: 'no-store', signal: abort.signal });
    if (answer.status === 429 || answer.status === 503) {
      on.heard();
      return 'refused';
    }
    if (!answer.ok) throw new Error(`events: ${answer.status}`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      heard = performance.now();
      longest = silence;
      on.heard();
      const events = (rest + value).split('\n\n');
      rest = events.pop();
      for (const event of events) take(event, on);
    }
    if (!once) throw new Error('the stream ended');
  } catch (error) {
    if (why !== 'hidden' && why !== 'buffered') throw error;
  } finally {
    clearInterval(watch);
    document.removeEventListener('visibilitychange', hide);
    abort.abort();
  }
  return why;
}

function take(event, on) {
  let name = '';
  let data = '';
  for (const line of event.split('\n')) {
    if (line.startsWith('event: ')) name = line.slice(7);
    if (line.startsWith('data: ')) data = line.slice(6);
  }
  if (!name || !on[name]) return;
  if (name === 'state') on.link('live');
  on[name](JSON.parse(data));
}

// pause waits, but not longer than until the tab is shown.
function pause(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', shown);
      resolve();
    };
    const shown = () => { if (!document.hidden) done(); };
    const timer = setTimeout(done, ms);
    document.addEventListener('visibilitychange', shown);
  });
}
