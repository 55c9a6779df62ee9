import { expect, onTestFinished } from 'vitest';
import type { ThreadId } from '../../src/domain/ids.ts';
import { stringMember } from '../../src/domain/json.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import { sandboxPolicyOf } from '../../src/domain/sandbox-policy.ts';
import { DEFAULT_COLLABORATION, type ThreadSettings } from '../../src/domain/thread-settings.ts';
import type { UserMessage } from '../../src/domain/user-input.ts';
import type { CodexThread } from '../../src/runtime/codex-thread.ts';
import type { AcceptedInput } from '../../src/runtime/thread-turns.ts';
import type { ManagerEvent } from '../../src/runtime/thread-events.ts';
import { ThreadManager } from '../../src/runtime/thread-manager.ts';
import type { ForkThreadParams, StartThread } from '../../src/runtime/thread-openings.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import type { ThreadStore } from '../../src/store/thread-store.ts';
import { openLocalStore } from './local-store.ts';
import { ModelDouble } from './model-double.ts';
import { T0 } from './records.ts';
import { tempFolder } from './temp-home.ts';

export const SETTINGS: ThreadSettings = {
  model: 'model-1',
  modelProvider: 'provider-1',
  reasoningEffort: null,
  serviceTier: null,
  cwd: '/work/project',
  approvalPolicy: 'on-request',
  approvalsReviewer: 'user',
  sandboxPolicy: sandboxPolicyOf('read-only'),
  permissionProfile: ':read-only',
  collaboration: DEFAULT_COLLABORATION,
};

export const message = (text: string, clientId: string | null = null): UserMessage => ({
  input: [{ type: 'text', text }],
  clientId,
});

export const NEW: StartThread = {
  overrides: {},
  originator: 'test',
  isEphemeral: false,
  threadSource: null,
  baseInstructions: null,
  dynamicTools: [],
  historyMode: 'paginated',
};

export const forkOf = (sourceId: ThreadId, snapshot: ForkThreadParams['snapshot']): ForkThreadParams => ({
  ...NEW,
  sourceId,
  snapshot,
});

/** The stores that threads run on, each with a way to open one of its own for a test. */
export const STORES: readonly (readonly [string, () => Promise<ThreadStore>])[] = [
  ['local store', () => openLocalStore(tempFolder())],
  ['memory store', async () => new MemoryThreadStore({ defaultModelProvider: 'default-provider' })],
];

export interface Heard {
  readonly threadId: ThreadId;
  readonly event: ManagerEvent;
}

/** A manager over a store, with a model that the test answers for, and everything it tells. */
export class Runtime {
  readonly store: ThreadStore;
  readonly model = new ModelDouble();
  readonly manager: ThreadManager;
  readonly heard: Heard[] = [];
  readonly problems: string[] = [];
  /** Unix ms. */
  now = T0;
  /** Called whenever the time is asked for. */
  onNow: () => void = () => {};
  readonly #listeners = new Set<() => void>();

  constructor(store: ThreadStore) {
    this.store = store;
    this.manager = new ThreadManager({
      store,
      model: this.model,
      defaults: {
        settings: SETTINGS,
        modelProviders: ['provider-1'],
        models: ['model-1'],
        reasoningEfforts: [],
        version: '1.2.3',
      },
      now: () => {
        this.onNow();
        return this.now;
      },
      onProblem: (text) => this.problems.push(text),
    });
    this.manager.onEvent((threadId, event) => {
      this.heard.push({ threadId, event });
      for (const listener of this.#listeners) listener();
    });
  }

  /** What a thread tells, in short: `type`, and for statuses which. */
  told(threadId: ThreadId, from = 0): readonly string[] {
    return this.heard.slice(from).flatMap(({ threadId: id, event }) => (id === threadId ? [inShort(event)] : []));
  }

  /** Resolves when a thread has told something, or has already. */
  async whenTold(threadId: ThreadId, what: string, times = 1): Promise<void> {
    const isThere = (): boolean => this.told(threadId).filter((one) => one === what).length >= times;
    if (isThere()) return;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!isThere()) return;
        this.#listeners.delete(look);
        resolve();
      };
      this.#listeners.add(look);
    });
  }

  start(params: Partial<StartThread> = {}): Promise<CodexThread> {
    return this.manager.startThread({ ...NEW, ...params });
  }

  /** A turn from beginning to end. @returns its id */
  async turn(thread: CodexThread, said: string, answer = `re: ${said}`): Promise<string> {
    const { turn } = await accepted(thread, said);
    (await this.model.call()).answer(answer);
    await this.whenIdle(thread);
    return turn.id;
  }

  /** A thread with whole turns. */
  async talked(said: readonly string[], params: Partial<StartThread> = {}): Promise<CodexThread> {
    const thread = await this.start(params);
    for (const text of said) await this.turn(thread, text);
    return thread;
  }

  async whenIdle(thread: CodexThread): Promise<void> {
    await this.whenState(thread, () => thread.states.turn === 'idle');
  }

  /** Resolves when a thread's states fit. */
  async whenState(thread: CodexThread, fits: () => boolean): Promise<void> {
    if (fits()) return;
    await new Promise<void>((resolve) => {
      const stop = this.manager.registry.onTransition(({ threadId }) => {
        // The transition is told before it is seen from outside.
        queueMicrotask(() => {
          if (threadId !== thread.id || !fits()) return;
          stop();
          resolve();
        });
      });
    });
  }

  /** The records of a thread, header first. */
  async records(threadId: ThreadId): Promise<readonly RolloutItem[]> {
    const items: RolloutItem[] = [];
    for await (const { item } of this.store.loadHistory(threadId, { includeArchived: true })) items.push(item);
    return items;
  }

  async words(threadId: ThreadId): Promise<readonly string[]> {
    return wordsIn(await this.records(threadId));
  }
}

/** Opens a runtime that is taken down when the test ends. */
export function openRuntime(store: ThreadStore): Runtime {
  const runtime = new Runtime(store);
  onTestFinished(async () => {
    await runtime.manager.registry.shutdownAll(5_000, 'the test ends');
    await store.close();
  });
  return runtime;
}

/** Gives a thread words, and waits until they are durable. */
export async function accepted(thread: CodexThread, text: string): Promise<AcceptedInput> {
  let answer: AcceptedInput | undefined;
  await thread.takeInput({ message: message(text), accepted: (given) => (answer = given) }, 'test');
  if (answer === undefined) throw new Error('input was taken without an answer');
  return answer;
}

/** What was said, by whom, as a model reads it. */
export const wordsIn = (items: readonly RolloutItem[]): readonly string[] =>
  items.flatMap(({ type, payload }) => {
    if (type !== 'response_item' || payload['type'] !== 'message') return [];
    const [part] = payload['content'] as readonly { readonly text?: string }[];
    return [`${stringMember(payload, 'role')}: ${part?.text ?? ''}`];
  });

/** Kinds of records, in order. */
export const kindsOf = (items: readonly RolloutItem[]): readonly string[] =>
  items.map(({ type, payload }) => {
    const item = payload['item'] as { readonly type?: string } | undefined;
    if (item?.type !== undefined) return item.type;
    if (type === 'event_msg') return stringMember(payload, 'type') ?? '';
    return type === 'response_item' ? `model reads ${stringMember(payload, 'role')}` : type;
  });

function inShort(event: ManagerEvent): string {
  switch (event.type) {
    case 'statusChanged':
      return `status ${event.status.type}`;
    case 'itemStarted':
    case 'itemCompleted':
      return `${event.type} ${event.item.type}`;
    case 'turnCompleted':
      return `turnCompleted ${event.turn.status}`;
    default:
      return event.type;
  }
}

/** A refusal of a kind, with words in it. */
export const refusal = (code: string, words: string): Error =>
  expect.objectContaining({ code, message: expect.stringContaining(words) as string }) as Error;
