/**
 * Work that may bring much, one piece after the other, in order, each begun only while there is room for what comes of
 * it. So what comes is never more than the room and one piece.
 */
export class WorkLane {
  readonly #hasRoom: () => boolean;
  #waiting: (() => Promise<void>)[] = [];
  #isBusy = false;

  constructor(hasRoom: () => boolean) {
    this.#hasRoom = hasRoom;
  }

  /** Begins at once if it may. Settles as the work does; never, if the lane is cleared before it has begun. */
  run(work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => work().then(resolve, reject));
      this.proceed();
    });
  }

  /** To be called when there may be room again. */
  proceed(): void {
    if (this.#isBusy || !this.#hasRoom()) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#isBusy = true;
    void next().then(() => {
      this.#isBusy = false;
      this.proceed();
    });
  }

  /** Forgets what has not begun. */
  clear(): void {
    this.#waiting = [];
  }
}
