import type { ThreadId } from './ids.ts';
import type { JsonObject, JsonValue } from './json.ts';
import type { UserInput } from './user-input.ts';

/** What people set around threads: sections and who is in them, marks of what was read, words that wait, choices for new ones. */

/** How a section is shown. */
export interface SectionAppearance {
  readonly icon: string | null;
  readonly color: string | null;
}

/** A named place for threads. */
export interface Section {
  /** UUIDv7; stays when the section is renamed. */
  readonly id: string;
  readonly name: string;
  readonly appearance: SectionAppearance | null;
}

/** The section that is always there, under the id that clients know. */
export const PINNED_SECTION: Section = {
  id: '01984de2-8f74-7c91-a3b2-5c5e937cf318',
  name: 'Pinned',
  appearance: null,
};

/** Where a thread stands in its section. */
export interface Placement {
  readonly sectionId: string;
  /** Smaller ones come first. */
  readonly position: number;
  /** Unix ms. */
  readonly enteredAtMs: number;
}

/** Where the unread part of a thread begins. */
export type UnreadPosition = { readonly type: 'threadStart' } | { readonly type: 'turn'; readonly turnId: string };

export interface ReadState {
  /** Null: all of it was read. */
  readonly firstUnread: UnreadPosition | null;
  /** Another one after each change; who changes it says which one they saw. */
  readonly revision: string;
}

/** A thread that nobody has marked, and in which nothing has happened since Skein has it, is read. */
export const initialReadState = (threadId: ThreadId): ReadState => ({
  firstUnread: null,
  revision: `initial:${threadId}`,
});

/** A user's message that waits for its turn. */
export interface QueuedSubmission {
  /** UUIDv7. */
  readonly id: string;
  readonly input: readonly UserInput[];
  readonly clientUserMessageId: string;
  readonly responsesapiClientMetadata: JsonObject | null;
}

/** A submission that is being made a turn of: whether that has happened, the history of the thread says. */
export interface TakenSubmission {
  readonly submissionId: string;
  /** The turn's id, chosen before it began. */
  readonly turnId: string;
}

/** What is stored of all this: one value for each kind and key. */
export type OrganizationKind =
  /** Key: section id. Value: {@link Section}. */
  | 'section'
  /** Key: thread id. Value: {@link Placement}. */
  | 'placement'
  /** Key: thread id. Value: {@link ReadState}. */
  | 'readState'
  /** Key: `<thread id>/<submission id>`. Value: {@link QueuedSubmission}. */
  | 'queued'
  /** Key: thread id. Value: ids of its submissions in their order, if that is not the order of their ids. */
  | 'queueOrder'
  /** Key: thread id. Value: {@link TakenSubmission}. */
  | 'queueTaken'
  /** Key: thread id. Value: true. */
  | 'queuePaused'
  /** Key: {@link ChosenSetting}. Value: text. */
  | 'default';

/** What clients can choose for new threads, by its name in the protocol's configuration. */
export type ChosenSetting = 'model' | 'model_reasoning_effort';

/** One value set, or removed (null). */
export interface OrganizationChange {
  readonly kind: OrganizationKind;
  readonly key: string;
  readonly value: JsonValue;
}

/** @param value JSON by construction, or null to remove what is there */
export const change = (
  kind: OrganizationKind,
  key: string,
  value: object | boolean | string | null,
): OrganizationChange => ({
  kind,
  key,
  value: value as JsonValue,
});
