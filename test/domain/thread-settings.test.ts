import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { StoredThread } from '../../src/domain/stored-thread.ts';
import { NO_FACTS, withLine } from '../../src/domain/thread-facts.ts';
import { permissionProfileOf, sandboxPolicyOf } from '../../src/domain/sandbox-policy.ts';
import {
  restoredSettings,
  settingsAppliedItem,
  turnContextItem,
  type ThreadSettings,
} from '../../src/domain/thread-settings.ts';

const settings: fc.Arbitrary<ThreadSettings> = fc.record({
  model: fc.string(),
  modelProvider: fc.string(),
  reasoningEffort: fc.constantFrom(null, 'low', 'high'),
  serviceTier: fc.constant(null),
  cwd: fc.constantFrom('/work', '/a b'),
  approvalPolicy: fc.constantFrom<ThreadSettings['approvalPolicy'][]>('untrusted', 'on-request', 'never', {
    granular: { rules: true },
  }),
  approvalsReviewer: fc.constant('user'),
  permissionProfile: fc.constantFrom(null, ':read-only', ':workspace'),
  collaboration: fc.record({
    mode: fc.constantFrom('plan' as const, 'default' as const),
    developerInstructions: fc.constantFrom(null, 'be kind'),
  }),
  sandboxPolicy: fc.oneof(
    fc.constant({ type: 'dangerFullAccess' as const }),
    fc.record({ type: fc.constant('readOnly' as const), networkAccess: fc.boolean() }),
    fc.record({
      type: fc.constant('externalSandbox' as const),
      networkAccess: fc.constantFrom('restricted' as const, 'enabled' as const),
    }),
    fc.record({
      type: fc.constant('workspaceWrite' as const),
      writableRoots: fc.array(fc.string()),
      networkAccess: fc.boolean(),
      excludeTmpdirEnvVar: fc.boolean(),
      excludeSlashTmp: fc.boolean(),
    }),
  ),
});

/** What a resume restores from a history that holds this turn. */
const recorded = (turn: ThreadSettings, defaults: ThreadSettings): ThreadSettings => {
  const records = [settingsAppliedItem('thread', turn), turnContextItem('t', turn)];
  const facts = records.reduce((before, item) => withLine(before, { timestamp: '', item }), NO_FACTS);
  return restoredSettings({ ...facts, modelProvider: turn.modelProvider }, defaults);
};

it('FACT-11 a resume restores the settings that the history says last, all of them', () => {
  fc.assert(
    fc.property(settings, settings, (turn, defaults) => {
      expect(recorded(turn, defaults)).toEqual(turn);
    }),
  );
});

it('FACT-12 what a history does not say, or says in unknown words, comes from the defaults', () => {
  const [defaults] = fc.sample(settings, 1);
  if (defaults === undefined) return;
  const silent = { ...NO_FACTS, modelProvider: 'p', approvalPolicy: 'on-full-moon', sandboxPolicy: { type: 'glass' } };
  expect(restoredSettings(silent as unknown as StoredThread, defaults)).toEqual({
    ...defaults,
    modelProvider: 'p',
    reasoningEffort: null,
  });
  // Older files name the policy by a bare word.
  const bare = restoredSettings({ ...silent, sandboxPolicy: 'read-only' }, defaults);
  expect(bare.sandboxPolicy).toEqual(sandboxPolicyOf('read-only'));
});

it('FACT-13 each sandbox mode is a policy with a permission profile', () => {
  const profiles = (['read-only', 'workspace-write', 'danger-full-access'] as const).map((mode) =>
    permissionProfileOf(sandboxPolicyOf(mode)),
  );
  expect(profiles).toEqual([':read-only', ':workspace', ':danger-full-access']);
  expect(permissionProfileOf({ type: 'externalSandbox', networkAccess: 'enabled' })).toBeNull();
});
