import { internal } from '../../src/domain/errors.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';

export interface Held {
  /** Somebody has come to where it is held up. */
  readonly reached: Promise<void>;
  readonly release: () => void;
}

/** A store whose reads and shutdowns can be held up, or fail. */
export class GatedStore extends MemoryThreadStore {
  failShutdowns = 0;
  #reads: Gate | undefined;
  #shutdowns: Gate | undefined;

  constructor() {
    super({ defaultModelProvider: 'hand' });
  }

  hold(): Held {
    this.#reads = new Gate();
    return this.#reads;
  }

  holdShutdown(): Held {
    this.#shutdowns = new Gate();
    return this.#shutdowns;
  }

  override async listTurns(...args: Parameters<MemoryThreadStore['listTurns']>) {
    const page = await super.listTurns(...args);
    // What was read is old when it arrives.
    await this.#reads?.pass();
    return page;
  }

  override async shutdownThread(...args: Parameters<MemoryThreadStore['shutdownThread']>) {
    await this.#shutdowns?.pass();
    if (this.failShutdowns > 0) {
      this.failShutdowns -= 1;
      throw internal('the disk is full');
    }
    return super.shutdownThread(...args);
  }
}

class Gate implements Held {
  readonly reached: Promise<void>;
  readonly #released: Promise<void>;
  release: () => void = () => {};
  #reach: () => void = () => {};

  constructor() {
    this.reached = new Promise((resolve) => (this.#reach = resolve));
    this.#released = new Promise((resolve) => (this.release = resolve));
  }

  pass(): Promise<void> {
    this.#reach();
    return this.#released;
  }
}
