import type { ClientRequest, ClientRequestMethod } from '../domain/client-request.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { ReadState } from '../domain/organization.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import type { Turn, TurnError } from '../domain/turn.ts';
import type { TurnEvent } from '../engine/turn-events.ts';

/** What a thread is doing, as clients are shown it. */
export type ThreadStatus =
  | { readonly type: 'notLoaded' }
  | { readonly type: 'idle' }
  /** The last turn failed; until the next one begins. */
  | { readonly type: 'systemError' }
  | { readonly type: 'active'; readonly activeFlags: readonly ActiveFlag[] };

export type ActiveFlag = 'waitingOnApproval' | 'waitingOnUserInput';

/** A question of a turn to whoever watches the thread. */
export interface ClientAsked {
  readonly type: 'clientAsked';
  readonly questionId: string;
  readonly turnId: string;
  readonly request: ClientRequest;
}

/** A question has been answered, or is asked no more. */
export interface ClientQuestionClosed {
  readonly type: 'clientQuestionClosed';
  readonly questionId: string;
  readonly method: ClientRequestMethod;
}

/** What happens in a loaded thread, in order. */
export type ThreadEvent =
  | TurnEvent
  | ClientAsked
  | ClientQuestionClosed
  | { readonly type: 'statusChanged'; readonly status: ThreadStatus }
  | { readonly type: 'settingsChanged'; readonly settings: ThreadSettings }
  | { readonly type: 'turnFailed'; readonly turnId: string; readonly error: TurnError }
  /** There is something new to read. The manager tells how far the thread was read in its place. */
  | { readonly type: 'turnToRead'; readonly turnId: string }
  | { readonly type: 'turnCompleted'; readonly turn: Turn };

/** What happens to threads as a whole; everyone who watches the daemon hears of it. */
export type LifecycleEvent =
  | { readonly type: 'threadStarted'; readonly thread: StoredThread }
  | { readonly type: 'threadNamed'; readonly name: string }
  | { readonly type: 'threadArchived' }
  | { readonly type: 'threadUnarchived' }
  | { readonly type: 'threadDeleted' }
  | { readonly type: 'threadReverted' }
  /** Said to everyone whenever somebody resumes a thread. */
  | { readonly type: 'goalCleared' }
  /** The thread was unloaded because nobody used it. */
  | { readonly type: 'threadClosed' };

/** What people, and what happens, set around a thread. */
export type OrganizationEvent =
  | { readonly type: 'queueChanged' }
  | { readonly type: 'readStateChanged'; readonly readState: ReadState }
  /** Null: it is in no section any more. */
  | { readonly type: 'sectionChanged'; readonly sectionId: string | null };

export type ManagerEvent = Exclude<ThreadEvent, { readonly type: 'turnToRead' }> | LifecycleEvent | OrganizationEvent;

/** Called with every event of every thread, in each thread's order. Must not throw. */
export type ManagerListener = (threadId: ThreadId, event: ManagerEvent) => void;
