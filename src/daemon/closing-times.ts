/** How the time is spent that a daemon has for its end (`limits.shutdownSeconds`), ms. */
export interface ClosingTimes {
  /** An end that takes longer is told, and from then on another signal cuts it off. Healthy ones take much less. */
  readonly patienceMs: number;
  /** For threads to write what is queued. The rest is for clients to hear of the end, and for what else is open. */
  readonly threadsMs: number;
  /** For everything; then the end is cut off. */
  readonly allMs: number;
  /** For clients to be told, once the end is cut off; and for what is left behind when everything is closed. */
  readonly farewellMs: number;
}

export function closingTimes(shutdownSeconds: number): ClosingTimes {
  const share = (part: number): number => part * shutdownSeconds * 1_000;
  return { patienceMs: share(0.2), threadsMs: share(0.7), allMs: share(0.9), farewellMs: share(0.1) };
}
