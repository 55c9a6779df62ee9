import { list, map, shortText, struct, tagged, text, u32 } from './serde.ts';
import { userInputs } from './user-input.ts';
import * as z from 'zod';

/** Parameters of what people organize around threads: queues, sections, marks of what was read. */

const metadata = map(text()).nullish();

export const queueAdd = struct('ThreadQueueAddParams', {
  threadId: text(),
  input: userInputs,
  clientUserMessageId: text(),
  responsesapiClientMetadata: metadata,
});

export const queueList = struct('ThreadQueueListParams', {
  threadId: text(),
  cursor: text().nullish(),
  limit: u32().nullish(),
});

export const queueUpdate = struct('ThreadQueueUpdateParams', {
  threadId: text(),
  queuedSubmissionId: text(),
  input: userInputs,
  responsesapiClientMetadata: metadata,
});

export const queueDelete = struct('ThreadQueueDeleteParams', { threadId: text(), queuedSubmissionId: text() });

export const queueReorder = struct('ThreadQueueReorderParams', {
  threadId: text(),
  queuedSubmissionIds: list(text()),
});

export const queueStart = struct('ThreadQueueStartParams', {
  threadId: text(),
  queuedSubmissionId: text().nullish(),
});

export const readStateUpdate = struct('ThreadReadStateUpdateParams', {
  threadId: text(),
  operation: tagged('ThreadReadStateOperation', [
    struct('ThreadReadStateOperation', { type: z.literal('read') }),
    struct('ThreadReadStateOperation', { type: z.literal('unread') }),
  ]),
  expectedRevision: text(),
});

const appearance = struct('ThreadSectionAppearance', { icon: text().nullish(), color: text().nullish() });

export const sectionList = struct('ThreadSectionListParams', { cursor: text().nullish(), limit: u32().nullish() });

export const sectionCreate = struct('ThreadSectionCreateParams', {
  name: shortText(),
  appearance: appearance.nullish(),
});

export const sectionUpdate = struct('ThreadSectionUpdateParams', {
  sectionId: text(),
  name: shortText(),
  appearance: appearance.nullish(),
});

export const sectionDelete = struct('ThreadSectionDeleteParams', { sectionId: text() });

export const sectionMove = struct('ThreadSectionMoveParams', {
  threadId: text(),
  sectionId: text().nullable(),
  beforeThreadId: text().nullish(),
});
