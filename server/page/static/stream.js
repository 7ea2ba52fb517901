// Follows the server: a snapshot, then the stream, and again from where it was
// when the server comes back. It gives up never.

const patience = 12_000; // the server sends something every 5 s
const firstWait = 500;
const longestWait = 2_000;

// follow tells what comes:
//   state(snapshot)   how things stand
//   position()        is asked for the last line known before the stream begins
//   line(l), happening(h)
//   away()            the server does not answer; told each time it is tried
export function follow(on) {
  let wait = firstWait;
  let source = null;
  let watchdog = 0;

  function lost() {
    clearTimeout(watchdog);
    source?.close();
    source = null;
    on.away();
    setTimeout(connect, wait * (0.75 + Math.random() / 2)); // not all pages at once
    wait = Math.min(2 * wait, longestWait);
  }

  function alive() {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, patience);
  }

  async function connect() {
    try {
      const answer = await fetch('/state', { cache: 'no-store', signal: AbortSignal.timeout(5_000) });
      if (!answer.ok) throw new Error(`/state answers ${answer.status}`);
      on.state(await answer.json());
    } catch {
      lost();
      return;
    }
    source = new EventSource(`/events?after=${on.position()}`);
    alive();
    source.onerror = lost; // its own way of coming back ends at an error status, as a proxy's
    const listen = (name, tell) => source.addEventListener(name, (event) => {
      wait = firstWait;
      alive();
      tell(JSON.parse(event.data));
    });
    listen('state', on.state);
    listen('line', on.line);
    listen('happening', on.happening);
    listen('time', () => {});
  }

  connect();
}
