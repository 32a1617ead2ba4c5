// The client of /api/v1. The token is kept in sessionStorage, until the tab is closed,
// and sent as a bearer token: there is no cookie that another site could use.

const TOKEN = "invar-fleet-token";
const TIMEOUT = 15_000; // ms for a response

// APIError is an unsuccessful response, or a missing one (status 0). Its message is the
// server's.
export class APIError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let clockOffset = 0; // of the server relative to this machine, in ms

// now returns the time on the server, in ms, to compare its times with.
export function now() {
  return Date.now() + clockOffset;
}

export function signedIn() {
  return sessionStorage.getItem(TOKEN) !== null;
}

export function signIn(token) {
  sessionStorage.setItem(TOKEN, token);
}

export function signOut() {
  sessionStorage.removeItem(TOKEN);
}

// get returns the decoded response to a GET, with its ETag as etag.
export function get(path, query) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) {
    for (const one of [value].flat()) if (one !== undefined && one !== "") search.append(name, one);
  }
  const text = search.toString();
  return call("GET", text ? `${path}?${text}` : path);
}

// post sends an object as JSON.
export function post(path, body) {
  return call("POST", path, JSON.stringify(body || {}), { "Content-Type": "application/json" });
}

// put sends a pipeline's YAML. With an etag it replaces only that version.
export function put(path, yaml, etag) {
  return call("PUT", path, yaml, { "Content-Type": "application/yaml", ...(etag && { "If-Match": etag }) });
}

export function remove(path) {
  return call("DELETE", path);
}

// pathOf returns a path of the API from names, which may have any characters.
export function pathOf(...names) {
  return names.map(encodeURIComponent).join("/");
}

async function call(method, path, body, headers = {}) {
  const token = sessionStorage.getItem(TOKEN);
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  let response, text;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method, headers, body, cache: "no-store", credentials: "omit", redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    text = await response.text();
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new APIError(late ? `the server did not answer within ${TIMEOUT / 1000} s` : "the server cannot be reached", 0);
  }
  keepTime(response.headers.get("Date"));
  if (!response.ok) throw new APIError(reason(text) || `the server answered ${response.status} ${response.statusText}`, response.status);
  if (text === "") return {};
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new APIError("the answer is not JSON; is this an invar-fleet server of this page's version?", 0);
  }
  answer.etag = response.headers.get("ETag") || "";
  return answer;
}

function reason(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text.trim().slice(0, 500);
  }
}

// keepTime measures the difference of the clocks. The header has whole seconds, so
// small differences mean nothing.
function keepTime(date) {
  const difference = Date.parse(date) - Date.now();
  if (Number.isFinite(difference)) clockOffset = Math.abs(difference) > 5000 ? difference : 0;
}
