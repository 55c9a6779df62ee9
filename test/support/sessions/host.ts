import type { Exception } from '../session-comparison.ts';
import type { Session } from './session.ts';

/** What clients ask about the host before they show anything. */
export const hostSessions: readonly Session[] = [
  [
    'what is asked of the host',
    async (player) => {
      const { cwd } = player;
      await player.ask('account/read', {});
      await player.ask('account/read', { refreshToken: true });
      await player.ask('model/list', {});
      await player.ask('modelProvider/list', {});
      await player.ask('modelProvider/capabilities/read', {});
      await player.ask('collaborationMode/list', {});
      await player.ask('permissionProfile/list', {});
      await player.ask('permissionProfile/list', { cwd, limit: 2 });
      await player.ask('config/read', { cwd, includeLayers: true });
      await player.ask('configRequirements/read');
      await player.ask('experimentalFeature/list', {});
      await player.ask('skills/list', { cwds: [cwd] });
      await player.ask('hooks/list', { cwds: [cwd] });
      await player.ask('plugin/installed', { cwds: [cwd] });
      await player.ask('plugin/list', {});
      await player.ask('app/list', {});
      await player.ask('mcpServerStatus/list', {});
      await player.ask('threadSection/list', {});
    },
  ],
];

const asked = (at: string, what: string): boolean => at.startsWith(`what is asked of the host: actor ${what}`);

/** Where the host of Skein is another. */
export const hostExceptions: readonly Exception[] = [
  {
    reason:
      'it has models, ways of working and speeds of its own; what the one that answers here cannot do is not offered',
    fits: (at) =>
      asked(at, 'model/list.data.') ||
      asked(at, 'modelProvider/capabilities/read.') ||
      asked(at, 'collaborationMode/list.data.') ||
      asked(at, 'configRequirements/read.supportsIndependentSpeedModes'),
  },
  {
    reason: 'providers are the operator’s, and no client changes them',
    fits: (at) => asked(at, 'modelProvider/list.'),
  },
  {
    reason: 'what it has in its configuration beyond the protocol',
    fits: (at, theirs, ours) => asked(at, 'config/read.config.') && theirs !== undefined && ours === undefined,
  },
  {
    reason: 'what threads begin with is said, whoever has configured it, and that folders need no trust',
    fits: (at, theirs) =>
      theirs === null && /config\/read\.config\.(?:approval_policy|approvals_reviewer|sandbox_mode|projects)$/.test(at),
  },
  {
    reason: 'its layers are files of its own, in which the test has configured it',
    fits: (at) => asked(at, 'config/read.layers.') || asked(at, 'config/read.origins.'),
  },
  {
    reason: 'it brings skills, and switches for what is being developed there',
    fits: (at) => asked(at, 'skills/list.data.0.skills.') || asked(at, 'experimentalFeature/list.data.'),
  },
];
