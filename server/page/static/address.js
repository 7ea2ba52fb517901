// Addresses, relative to the page's own: it may be served under a path. The
// page's query says which game it shows.

const own = new URLSearchParams(location.search);

// gameQuery returns the query that names this page's game, or "".
export function gameQuery() {
  return own.has('game') ? `?${new URLSearchParams({ game: own.get('game') })}` : '';
}

// address returns the URL of something the server has about this game.
export function address(path, parameters = {}) {
  const url = new URL(path, document.baseURI);
  url.search = gameQuery();
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url;
}

export const displayMode = own.has('display');
