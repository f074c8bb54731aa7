// Calls of the server. Every error is the server's own sentence, in the words of the page.

import { inPageWords, isDamaged } from "./words.js";

/** The server refused, and says why. */
export class Refusal extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(inPageWords(message));
    this.status = status;
    this.isDamaged = isDamaged(message);
  }
}

/** The server does not answer at all. */
export class ServerGone extends Error {}

/** @type {Set<() => void>} */
const gone = new Set();

/** Be told when a call gets no answer. @param {() => void} listener */
export function onServerGone(listener) {
  gone.add(listener);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{json?: object, body?: Blob, signal?: AbortSignal}} [options]
 * @returns {Promise<Response>} of a call that went well; raises Refusal or ServerGone
 */
export async function call(method, path, { json, body, signal } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      signal,
      body: json ? JSON.stringify(json) : body,
      headers: json ? { "Content-Type": "application/json" } : body ? { "Content-Type": "application/octet-stream" } : {},
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    gone.forEach(listener => listener());
    throw new ServerGone("the server does not answer");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Refusal(response.status, answer.error ?? `the server answered ${response.status}`);
}

/** @param {string} path @returns {Promise<any>} */
export async function get(path) {
  return (await call("GET", path)).json();
}

/** @param {string} path @param {object} json @returns {Promise<any>} */
export async function post(path, json) {
  return (await call("POST", path, { json })).json();
}

/** @param {string} path @returns {Promise<ImageBitmap>} */
export async function bitmap(path) {
  return createImageBitmap(await (await call("GET", path)).blob());
}

/** Whether an error only says that something newer took its place. @param {any} error */
export function isSuperseded(error) {
  return error.name === "AbortError" || (error instanceof Refusal && error.status === 409);
}
