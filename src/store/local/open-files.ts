/** Something that keeps a file open between uses, and can let go of it. */
export interface HandleHolder {
  /** True while the handle is in use and must stay. */
  readonly isBusy: boolean;
  /** Closes the handle; it is opened again when needed. */
  releaseHandle(): Promise<void>;
}

/**
 * Bounds how many rollouts are kept open: a descriptor is cheap to reopen (10 us) and a process has few
 * thousand of them, which ten thousand loaded threads and their locks would use up.
 */
export class OpenFiles {
  readonly #limit: number;
  /** Least recently used first. */
  readonly #holders = new Set<HandleHolder>();

  constructor(limit = 256) {
    this.#limit = limit;
  }

  get count(): number {
    return this.#holders.size;
  }

  /** Notes that a holder opened or used its handle; makes room by closing those idle for longest. */
  touch(holder: HandleHolder): void {
    this.#holders.delete(holder);
    this.#holders.add(holder);
    if (this.#holders.size <= this.#limit) return;
    for (const oldest of this.#holders) {
      if (oldest === holder || oldest.isBusy) continue;
      this.#holders.delete(oldest);
      // A close that fails loses nothing: what was acknowledged is in the kernel.
      oldest.releaseHandle().catch(() => {});
      if (this.#holders.size <= this.#limit) return;
    }
  }

  forget(holder: HandleHolder): void {
    this.#holders.delete(holder);
  }
}
