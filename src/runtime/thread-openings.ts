import { isDeepStrictEqual } from 'node:util';
import { SkeinError, toSkeinError, uncertain } from '../domain/errors.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import { restoredSettings, settingsAppliedItem, settingsNews, type ThreadSettings } from '../domain/thread-settings.ts';
import { guardedInit } from '../live/init-guard.ts';
import { LiveThread } from '../live/live-thread.ts';
import type { ThreadStore } from '../store/thread-store.ts';
import { endOfOpenTurn, inheritedRecords, type ForkPlan, type ForkSnapshot } from './fork.ts';
import {
  describePlanned,
  overriddenSettings,
  planHeader,
  type NewThreadParams,
  type SettingsOverrides,
  type ThreadDefaults,
} from './thread-start.ts';
import type { OpenedThread } from './thread-writer.ts';

export interface StartThread extends NewThreadParams {
  readonly historyMode: HistoryMode;
}

export interface ResumeThreadParams {
  readonly threadId: ThreadId;
  /** A rollout to resume; for a loaded thread it must be the one that is loaded. */
  readonly path?: string;
  readonly overrides: SettingsOverrides;
}

export interface ForkThreadParams extends NewThreadParams {
  readonly sourceId: ThreadId;
  readonly snapshot: ForkSnapshot;
}

/** What a thread is run with, and how it is opened. */
export interface ThreadOpening {
  readonly settings: ThreadSettings;
  /** Opens its writer. What it has opened is let go if the signal is aborted or anything fails. */
  readonly open: (signal: AbortSignal) => Promise<OpenedThread>;
}

export interface ThreadOpeningsOptions {
  readonly store: ThreadStore;
  /** As they are now: clients change them. */
  readonly defaults: () => ThreadDefaults;
  /** Unix ms. */
  readonly now: () => number;
}

/** The ways in which threads come to be loaded: new, as a fork of another, or from their store. */
export class ThreadOpenings {
  readonly #options: ThreadOpeningsOptions;

  constructor(options: ThreadOpeningsOptions) {
    this.#options = options;
  }

  /** A new thread: lazy, or ephemeral. @throws invalidRequest for settings that cannot be */
  started(threadId: ThreadId, params: StartThread): ThreadOpening {
    const { store, now } = this.#options;
    const defaults = this.#options.defaults();
    const settings = overriddenSettings(defaults.settings, params.overrides, defaults);
    const createdAtMs = now();
    const { historyMode } = params;
    const header = planHeader(threadId, historyMode, settings, params, defaults.version, createdAtMs);
    const create = { threadId, historyMode, cwd: settings.cwd, createdAtMs, header: header.source };
    const open = async (signal: AbortSignal): Promise<OpenedThread> => {
      if (params.isEphemeral) return { live: null, thread: describePlanned(header, null, settings, createdAtMs) };
      const { live, path } = await LiveThread.create(store, create, now);
      const opened = { live, thread: describePlanned(header, path, settings, createdAtMs) };
      return guardedInit(live, async () => opened, signal);
    };
    return { settings, open };
  }

  /** A new thread that begins with what another one has: stored, or ephemeral. @throws invalidRequest for settings that cannot be */
  forked(threadId: ThreadId, source: StoredThread, plan: ForkPlan, params: ForkThreadParams): ThreadOpening {
    const { store, now } = this.#options;
    const defaults = this.#options.defaults();
    const { sourceId } = params;
    const settings = overriddenSettings(restoredSettings(source, defaults.settings), params.overrides, defaults);
    const createdAtMs = now();
    const { historyMode } = source;
    const header = planHeader(threadId, historyMode, settings, params, defaults.version, createdAtMs);
    const fork = { threadId, historyMode, cwd: settings.cwd, createdAtMs, header: header.source, sourceId };
    const open = async (signal: AbortSignal): Promise<OpenedThread> => {
      if (params.isEphemeral) {
        const described = describePlanned(header, null, settings, createdAtMs);
        const inherited = inheritedRecords(() => store.loadHistory(sourceId), historyMode, plan);
        const { preview, name } = source;
        return { live: null, thread: { ...described, forkedFromId: sourceId, preview, name }, inherited };
      }
      const { live, stored } = await LiveThread.fork(store, { ...fork, boundary: plan.boundary }, now);
      const finish = async (): Promise<OpenedThread> => {
        const closing = plan.endsOpenTurn ? await endOfOpenTurn(store, stored, plan.lastTurn) : [];
        // How it is run stands in records, too: those of its source do not speak of a fork that refers to them.
        const records = [...closing, settingsAppliedItem(threadId, settings)];
        await live.append(records, { durability: 'power', onFailure: 'withdraw' });
        return { live, thread: stored };
      };
      return guardedInit(live, finish, signal).catch(async (error: unknown) => {
        // A fork is stored as it is made; half of one is nobody's.
        await store.deleteThreads([threadId]).catch((left: unknown) => {
          if (!(left instanceof SkeinError) || left.code !== 'notFound') throw uncertain(toSkeinError(error));
        });
        throw error;
      });
    };
    return { settings, open };
  }

  /**
   * A stored thread.
   * @param path another rollout than its own
   * @param settingsOf what it is run with, given how it was last; what is another is recorded at once
   */
  resumed(
    found: StoredThread,
    path: string | undefined,
    settingsOf: (restored: ThreadSettings) => ThreadSettings,
  ): ThreadOpening {
    const { store, now } = this.#options;
    const defaults = this.#options.defaults();
    const threadId = found.id;
    const resume = path === undefined ? { threadId } : { threadId, path, includeArchived: true };
    const restored = restoredSettings(found, defaults.settings);
    const settings = settingsOf(restored);
    const open = async (signal: AbortSignal): Promise<OpenedThread> => {
      const { live, stored } = await LiveThread.resume(store, resume, now);
      const finish = async (): Promise<OpenedThread> => {
        const news = isDeepStrictEqual(settings, restored) ? [] : settingsNews(threadId, live.facts, settings);
        await live.append(news, { onFailure: 'withdraw' });
        return { live, thread: stored };
      };
      return guardedInit(live, finish, signal);
    };
    return { settings, open };
  }
}
