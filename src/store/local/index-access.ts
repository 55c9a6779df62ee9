import { notFound } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import type { IndexApi, LocatedThread } from './index/index-api.ts';

/**
 * The index as the store uses it: what this process has written is told to it before anything is asked, so that a
 * caller always finds its own writes. Telling is cheap and not waited for; many writes make one message.
 */
export class IndexAccess {
  readonly #index: IndexApi;
  #touched = new Set<string>();
  #isScheduled = false;

  constructor(index: IndexApi) {
    this.#index = index;
  }

  /** The index, with everything told. */
  get current(): IndexApi {
    this.#tell();
    return this.#index;
  }

  /** Notes that this process wrote, moved or removed a file; told at the end of this turn of the event loop. */
  touch(path: string): void {
    this.#touched.add(path);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#tell());
  }

  /** A file outside the home no longer stands for its thread. */
  forget(path: string): void {
    this.current.forget(path).catch(() => {});
  }

  /** The thread, archived or not. @throws notFound */
  async located(threadId: ThreadId): Promise<LocatedThread> {
    const located = await this.current.locate(threadId);
    if (located === undefined) throw noRollout(threadId);
    return located;
  }

  #tell(): void {
    this.#isScheduled = false;
    if (this.#touched.size === 0) return;
    const paths = [...this.#touched];
    this.#touched = new Set();
    // A lost message costs nothing but time: every answer looks at the files itself.
    this.#index.touch(paths).catch(() => {});
  }
}

export const noRollout = (threadId: ThreadId): Error => notFound(`no rollout found for thread id ${threadId}`);
