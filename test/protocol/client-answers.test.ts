import { expect, it } from 'vitest';
import { assert, constantFrom, nat, oneof, property, tuple, type Arbitrary } from 'fast-check';
import { readAnswer } from '../../src/protocol/client-answers.ts';
import { ANSWERS, KINDS } from '../support/asking.ts';
import { answerMisfit } from '../support/protocol-schemas.ts';
import type { Json } from '../support/rpc-client.ts';

/** Members and values that stand in answers, right ones and wrong ones. */
const LEAVES: readonly Json[] = [
  null,
  true,
  false,
  0,
  1,
  2.5,
  '',
  'accept',
  'acceptForSession',
  'decline',
  'cancel',
  'turn',
  'session',
  'inputText',
  'inputImage',
  'inputAudio',
  'path',
  'glob_pattern',
  'special',
  'root',
  'project_roots',
  'unknown',
  'read',
  'write',
  'deny',
  'allow',
  [],
  {},
];

const MEMBERS = [
  'decision',
  'acceptWithExecpolicyAmendment',
  'execpolicy_amendment',
  'applyNetworkPolicyAmendment',
  'network_policy_amendment',
  'action',
  'host',
  'contentItems',
  'success',
  'type',
  'text',
  'imageUrl',
  'audioUrl',
  'answers',
  'colour',
  'permissions',
  'scope',
  'strictAutoReview',
  'fileSystem',
  'network',
  'enabled',
  'entries',
  'globScanMaxDepth',
  'read',
  'write',
  'access',
  'path',
  'pattern',
  'value',
  'kind',
  'subpath',
  'content',
  '_meta',
  'other',
] as const;

/** Answers that are richer than the plain good ones. */
const RICH: readonly Json[] = [
  ...Object.values(ANSWERS),
  { decision: { acceptWithExecpolicyAmendment: { execpolicy_amendment: ['touch', 'here'] } } },
  { decision: { applyNetworkPolicyAmendment: { network_policy_amendment: { action: 'allow', host: 'h' } } } },
  {
    contentItems: [
      { type: 'inputImage', imageUrl: 'u' },
      { type: 'inputAudio', audioUrl: 'u' },
    ],
    success: false,
  },
  {
    permissions: {
      fileSystem: {
        entries: [
          { access: 'read', path: { type: 'path', path: '/a' } },
          { access: 'write', path: { type: 'glob_pattern', pattern: '*' } },
          { access: 'deny', path: { type: 'special', value: { kind: 'root' } } },
          { access: 'deny', path: { type: 'special', value: { kind: 'project_roots', subpath: null } } },
          { access: 'deny', path: { type: 'special', value: { kind: 'unknown', path: 'p' } } },
        ],
        globScanMaxDepth: 2,
        read: ['/a'],
        write: null,
      },
      network: { enabled: null },
    },
    scope: 'session',
    strictAutoReview: true,
  },
];

/** An answer with one place changed: another value, a member more, or one less. */
const changed: Arbitrary<Json> = tuple(
  constantFrom(...RICH),
  nat(),
  constantFrom('replace', 'remove', 'add'),
  constantFrom(...LEAVES),
  constantFrom(...MEMBERS),
).map(([answer, at, how, leaf, member]) => {
  const copy: Json = structuredClone({ answer });
  const places: { readonly holder: Json; readonly key: string }[] = [];
  const look = (holder: Json): void => {
    for (const key of Object.keys(holder)) {
      places.push({ holder, key });
      if (typeof holder[key] === 'object' && holder[key] !== null) look(holder[key]);
    }
  };
  look(copy);
  const place = places[at % places.length];
  if (place === undefined) return copy.answer;
  const { holder, key } = place;
  if (how === 'replace') holder[key] = leaf;
  else if (how === 'remove' && !Array.isArray(holder)) Reflect.deleteProperty(holder, key);
  else if (how === 'add' && !Array.isArray(holder)) holder[member] = leaf;
  return copy.answer;
});

it('ASK-17 answers are taken exactly if they fit the schemas of the peer', () => {
  const good: Readonly<Record<string, Json>> = ANSWERS;
  const isTaken = (method: (typeof KINDS)[number], result: Json): boolean =>
    readAnswer(method, { result, error: undefined }).type === 'answered';
  for (const method of KINDS) {
    expect(isTaken(method, good[method])).toBe(true);
    expect(readAnswer(method, { result: good[method], error: undefined })).toEqual({
      type: 'answered',
      answer: ANSWERS[method],
    });
  }
  assert(
    property(constantFrom(...KINDS), oneof(changed, constantFrom(...LEAVES)), (method, result) => {
      expect([result, isTaken(method, result)]).toEqual([result, answerMisfit(method, result) === undefined]);
    }),
    { numRuns: 2_000 },
  );
});
