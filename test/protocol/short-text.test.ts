import { expect, it } from 'vitest';
import type * as z from 'zod';
import { errorBodyOf } from '../../src/protocol/errors.ts';
import { SETTINGS } from '../../src/protocol/params/config-params.ts';
import { sectionCreate, sectionUpdate } from '../../src/protocol/params/organization-params.ts';
import { parseParams } from '../../src/protocol/params/serde.ts';
import {
  initialize,
  threadFork,
  threadMetadataUpdate,
  threadNameSet,
  threadResume,
  threadSettingsUpdate,
  threadStart,
  turnSettingsUpdate,
  turnStart,
} from '../../src/protocol/params/thread-params.ts';

/** Where a client can say a text that is shown with each thread. */
type Place = readonly [method: string, schema: z.ZodType, params: (text: string) => object];

const threadId = '01a2032f-9163-78b3-82e3-2413f4d097e2';
const members = (method: string, schema: z.ZodType, names: readonly string[]): readonly Place[] =>
  names.map((name) => [`${method} ${name}`, schema, (text) => ({ threadId, sectionId: 'x', input: [], [name]: text })]);

const RUN = ['model', 'serviceTier'];
const OVERRIDES = [...RUN, 'modelProvider'];

const SHORT: readonly Place[] = [
  ...members('thread/name/set', threadNameSet, ['name']),
  ...members('thread/start', threadStart, [...OVERRIDES, 'threadSource']),
  ...members('thread/resume', threadResume, OVERRIDES),
  ...members('thread/fork', threadFork, [...OVERRIDES, 'threadSource']),
  ...members('thread/settings/update', threadSettingsUpdate, [...RUN, 'effort']),
  ['turn/settings/update model', turnSettingsUpdate, (text) => ({ threadId, turnId: 'x', model: text })],
  ...members('turn/start', turnStart, [...RUN, 'serviceTierForTurn']),
  ...members('threadSection/create', sectionCreate, ['name']),
  ...members('threadSection/update', sectionUpdate, ['name']),
  ...(['sha', 'branch', 'originUrl'] as const).map((name): Place => [
    `gitInfo ${name}`,
    threadMetadataUpdate,
    (text) => ({ threadId, gitInfo: { [name]: text } }),
  ]),
  ...(['name', 'title', 'version'] as const).map((name): Place => [
    `clientInfo ${name}`,
    initialize,
    (text) => ({ clientInfo: { name: 'a', version: '1', [name]: text } }),
  ]),
  [
    'collaborationMode model',
    turnStart,
    (text) => ({ threadId, input: [], collaborationMode: { mode: 'default', settings: { model: text } } }),
  ],
];

const FOLDERS: readonly Place[] = [
  ...members('thread/start', threadStart, ['cwd']),
  ...members('thread/resume', threadResume, ['cwd', 'path']),
  ...members('thread/fork', threadFork, ['cwd', 'path']),
  ...members('turn/start', turnStart, ['cwd']),
];

const refusal = (schema: z.ZodType, params: object): string => {
  try {
    parseParams(schema, params);
    return 'none';
  } catch (error) {
    return errorBodyOf(error).message;
  }
};

it.each(SHORT)('PARAM-10 texts that are shown with each thread are short (%s)', (_place, schema, params) => {
  expect(refusal(schema, params('x'.repeat(2_000)))).toBe('none');
  const said = refusal(schema, params('x'.repeat(2_001)));
  expect(said).toMatch(
    /^Invalid request: invalid value: string "x{900,1000}[^x]*, expected a string of at most 2000 characters$/,
  );
});

it.each(Object.entries(SETTINGS))('PARAM-10 so is what is chosen for threads to come (%s)', (_setting, schema) => {
  expect(schema.safeParse('x'.repeat(2_000)).success).toBe(true);
  expect(schema.safeParse('x'.repeat(2_001)).success).toBe(false);
});

it('PARAM-10 instructions are no longer than input', () => {
  const params = (text: string): object => {
    const settings = { model: 'm', developer_instructions: text };
    return { threadId, input: [], collaborationMode: { mode: 'default', settings } };
  };
  expect(refusal(turnStart, params('x'.repeat(1_048_576)))).toBe('none');
  expect(refusal(turnStart, params('x'.repeat(1_048_577)))).toContain('a string of at most 1048576 characters');
});

it.each(FOLDERS)('PARAM-10 paths are as long as the system takes them (%s)', (_place, schema, params) => {
  expect(refusal(schema, params(`/${'x'.repeat(4_095)}`))).toBe('none');
  expect(refusal(schema, params(`/${'x'.repeat(4_096)}`))).toContain('a path');
});
