import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../src/domain/json.ts';
import { itemOfCompleted, itemOfLegacyEvents } from '../../src/domain/thread-item.ts';
import { legacyUserEvent, modelInput, storedInput, wordsOf, type UserInput } from '../../src/domain/user-input.ts';

const times = { startedAtMs: 1, completedAtMs: 2 };
const ofStored = (item: JsonObject): unknown =>
  itemOfCompleted({ item: { id: 'i', ...item }, started_at_ms: 1, completed_at_ms: 2 });

/** An item as paginated history stores it, by kind, and what clients see of it. */
const COMPLETED: readonly (readonly [stored: JsonObject, shown: JsonObject])[] = [
  [
    {
      type: 'UserMessage',
      client_id: 'c',
      content: [
        { type: 'text', text: 'hi', text_elements: [{ at: 1 }] },
        { type: 'image', image_url: 'data:a', detail: 'low' },
        { type: 'local_image', path: '/a.png' },
        { type: 'mention', name: 'n', path: 'p' },
      ],
    },
    {
      type: 'userMessage',
      clientId: 'c',
      content: [
        { type: 'text', text: 'hi', text_elements: [{ at: 1 }] },
        { type: 'image', detail: 'low', url: 'data:a' },
        { type: 'localImage', path: '/a.png' },
        { type: 'mention', name: 'n', path: 'p' },
      ],
    },
  ],
  [
    {
      type: 'AgentMessage',
      phase: 'final_answer',
      content: [
        { type: 'Text', text: 'a' },
        { type: 'Text', text: 'b' },
      ],
    },
    { type: 'agentMessage', text: 'ab', phase: 'final_answer', memoryCitation: null },
  ],
  [
    { type: 'Plan', text: '1.' },
    { type: 'plan', text: '1.' },
  ],
  [
    { type: 'Reasoning', summary_text: ['s'], raw_content: ['r'] },
    { type: 'reasoning', summary: ['s'], content: ['r'] },
  ],
  [
    {
      type: 'CommandExecution',
      command: ['sh', '-c', "echo 'a b'"],
      cwd: 'file:///work/a%20b',
      status: 'in_progress',
      parsed_cmd: [
        { type: 'list_files', cmd: 'ls', path: '.' },
        { type: 'read', cmd: 'cat a', name: 'a', path: '/a' },
        { type: '?' },
      ],
      aggregated_output: 'out',
      exit_code: 0,
      duration: { secs: 1, nanos: 500_000_000 },
    },
    {
      type: 'commandExecution',
      command: "sh -c 'echo '\\''a b'\\'''",
      cwd: '/work/a b',
      status: 'inProgress',
      commandActions: [
        { type: 'listFiles', command: 'ls', path: '.' },
        { type: 'read', command: 'cat a', name: 'a', path: '/a' },
        { type: 'unknown', command: '' },
      ],
      aggregatedOutput: 'out',
      exitCode: 0,
      durationMs: 1_500,
    },
  ],
  [
    {
      type: 'FileChange',
      status: 'completed',
      changes: {
        '/a': { type: 'add', content: 'x' },
        '/b': { update: { unified_diff: '@@', move_path: '/c' } },
        '/d': 7,
      },
    },
    {
      type: 'fileChange',
      status: 'completed',
      changes: [
        { path: '/a', kind: { type: 'add' }, diff: 'x' },
        { path: '/b', kind: { type: 'update', move_path: '/c' }, diff: '@@' },
      ],
    },
  ],
  [
    {
      type: 'McpToolCall',
      server: 's',
      tool: 't',
      status: 'failed',
      arguments: { a: 1 },
      result: null,
      error: { message: 'no' },
    },
    {
      type: 'mcpToolCall',
      server: 's',
      tool: 't',
      status: 'failed',
      arguments: { a: 1 },
      result: null,
      error: { message: 'no' },
    },
  ],
  [
    { type: 'DynamicToolCall', tool: 't', status: 'completed', success: true, content_items: [1] },
    { type: 'dynamicToolCall', tool: 't', status: 'completed', success: true, contentItems: [1] },
  ],
  [
    {
      type: 'CollabAgentToolCall',
      tool: 'spawn_agent',
      status: 'completed',
      sender_thread_id: 'a',
      receiver_thread_ids: ['b'],
    },
    {
      type: 'collabAgentToolCall',
      tool: 'spawnAgent',
      senderThreadId: 'a',
      receiverThreadIds: ['b'],
      agentsStates: {},
    },
  ],
  [
    { type: 'SubAgentActivity', kind: 'started', agent_thread_id: 'a', agent_path: '/p' },
    { type: 'subAgentActivity', kind: 'started', agentThreadId: 'a', agentPath: '/p' },
  ],
  [
    { type: 'WebSearch', query: 'q', action: { type: 'open_page', url: 'u' } },
    { type: 'webSearch', query: 'q', action: { type: 'openPage', url: 'u' } },
  ],
  [
    { type: 'ImageView', path: '/a.png' },
    { type: 'imageView', path: '/a.png' },
  ],
  [
    { type: 'Sleep', duration_ms: 5 },
    { type: 'sleep', durationMs: 5 },
  ],
  [
    { type: 'ImageGeneration', status: 'completed', result: 'r', saved_path: '/a' },
    { type: 'imageGeneration', status: 'completed', result: 'r', savedPath: '/a' },
  ],
  [
    { type: 'EnteredReviewMode', review: 'r' },
    { type: 'enteredReviewMode', review: 'r' },
  ],
  [
    { type: 'ExitedReviewMode', review: 'r' },
    { type: 'exitedReviewMode', review: 'r' },
  ],
  [{ type: 'ContextCompaction' }, { type: 'contextCompaction' }],
  [
    { type: 'HookPrompt', fragments: [{ text: 'f' }] },
    { type: 'hookPrompt', fragments: [{ text: 'f' }] },
  ],
];

const byKind = (rows: typeof COMPLETED): readonly { kind: unknown; stored: JsonObject; shown: JsonObject }[] =>
  rows.map(([stored, shown]) => ({ kind: stored['type'], stored, shown }));

it.each(byKind(COMPLETED))('FOLD-11 paginated $kind is shown', ({ stored, shown }) => {
  expect(ofStored(stored)).toMatchObject({ id: 'i', ...times, ...shown });
});

/** Events of legacy history, and what clients see of them. */
const LEGACY: readonly (readonly [event: JsonObject, shown: JsonObject])[] = [
  [
    {
      type: 'user_message',
      message: 'hi',
      images: ['data:a'],
      local_images: ['/b'],
      audio: ['data:c'],
      local_audio: ['/d'],
    },
    {
      type: 'userMessage',
      content: [
        { type: 'text', text: 'hi', text_elements: [] },
        { type: 'image', url: 'data:a' },
        { type: 'localImage', path: '/b' },
        { type: 'audio', url: 'data:c' },
        { type: 'localAudio', path: '/d' },
      ],
    },
  ],
  [{ type: 'user_message', message: '', images: ['data:a'] }, { content: [{ type: 'image', url: 'data:a' }] }],
  [
    { type: 'agent_message', message: 'yo', phase: 'commentary' },
    { type: 'agentMessage', text: 'yo', phase: 'commentary' },
  ],
  [{ type: 'context_compacted' }, { type: 'contextCompaction' }],
  [
    { type: 'entered_review_mode', user_facing_hint: 'h' },
    { type: 'enteredReviewMode', review: 'h' },
  ],
  [
    { type: 'web_search_end', query: 'q' },
    { type: 'webSearch', query: 'q', action: null },
  ],
  [
    { type: 'patch_apply_end', success: false, changes: { '/a': { delete: { content: 'x' } } } },
    { type: 'fileChange', status: 'failed', changes: [{ path: '/a', kind: { type: 'delete' }, diff: 'x' }] },
  ],
  [
    { type: 'image_generation_end', status: 's', revised_prompt: 'p', result: 'r' },
    { type: 'imageGeneration', revisedPrompt: 'p' },
  ],
  [
    {
      type: 'mcp_tool_call_end',
      invocation: { server: 's', tool: 't', arguments: {} },
      result: { Ok: { content: [1] } },
    },
    { type: 'mcpToolCall', server: 's', status: 'completed', result: { content: [1] }, error: null },
  ],
  [
    { type: 'mcp_tool_call_end', invocation: { server: 's', tool: 't' }, result: { Err: 'no' } },
    { type: 'mcpToolCall', status: 'failed', result: null, error: { message: 'no' } },
  ],
  [
    { type: 'sub_agent_activity', kind: 'started', agent_thread_id: 'a' },
    { type: 'subAgentActivity', agentThreadId: 'a' },
  ],
  [
    { type: 'item_completed', item: { type: 'Plan', id: 'i', text: '1.' } },
    { type: 'plan', text: '1.' },
  ],
];

it.each(byKind(LEGACY))('FOLD-12 legacy $kind is shown', ({ stored, shown }) => {
  expect(itemOfLegacyEvents([stored], 'i')).toMatchObject({ id: 'i', ...shown });
});

it('FOLD-13 kinds without a rule have no view, whatever they are called, and no record breaks a page', () => {
  for (const type of ['BrandNew', '', 'constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    expect(ofStored({ type })).toBeUndefined();
    expect(itemOfLegacyEvents([{ type }], 'i')).toBeUndefined();
  }
  const odd = fc.constantFrom<JsonValue>(
    null,
    1,
    'x',
    [],
    {},
    { toString: 1, valueOf: 1 },
    [{ toString: 1 }, null],
    'file://%zz',
  );
  const keys = [
    'command',
    'content',
    'cwd',
    'changes',
    'parsed_cmd',
    'duration',
    'action',
    'result',
    'invocation',
    'path',
  ];
  const members = fc.dictionary(fc.constantFrom(...keys, 'status', 'summary_text', 'message', 'images', 'text'), odd);
  const types = [...COMPLETED, ...LEGACY].map(([{ type }]) => type as string);
  fc.assert(
    fc.property(fc.constantFrom(...types), members, (type, rest) => {
      const stored: JsonObject = { ...rest, type };
      for (const view of [ofStored(stored), itemOfLegacyEvents([stored, stored], 'i')]) {
        expect(JSON.stringify(view ?? {})).toBeTypeOf('string');
      }
    }),
    { numRuns: 500 },
  );
});

const INPUT: readonly UserInput[] = [
  { type: 'text', text: 'see ', text_elements: [] },
  { type: 'image', url: 'data:a' },
  { type: 'localImage', path: '/b' },
  { type: 'audio', url: 'data:c' },
  { type: 'localAudio', path: '/d' },
];

it('FOLD-14 what a user sends comes back as it was, in both history modes', () => {
  const input: readonly UserInput[] = [
    ...INPUT,
    { type: 'image', url: 'data:e', detail: 'high' },
    { type: 'localImage', path: '/f', detail: 'low' },
    { type: 'image', fileId: 'file-1' },
    { type: 'skill', name: 's', path: '/s' },
    { type: 'mention', name: 'm', path: 'app://m' },
  ];
  expect(ofStored({ type: 'UserMessage', content: input.map(storedInput) })).toMatchObject({ content: input });
  // The one event of legacy history has no place for details and for what is no word, picture or sound.
  const event = legacyUserEvent({ input: INPUT, clientId: 'c' });
  expect(itemOfLegacyEvents([event], 'i')).toMatchObject({ clientId: 'c', content: INPUT });
});

it('FOLD-15 a model reads words and pictures of an input', () => {
  expect(wordsOf([...INPUT, { type: 'text', text: 'this' }])).toBe('see this');
  expect([...INPUT, { type: 'image', fileId: 'f' }].map((part) => modelInput(part))).toEqual([
    { type: 'input_text', text: 'see ' },
    { type: 'input_image', image_url: 'data:a' },
    undefined,
    undefined,
    undefined,
    { type: 'input_image', file_id: 'f' },
  ]);
});
