import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { sharedDaemon } from '../support/shared-daemon.ts';
import { tempFolder } from '../support/temp-home.ts';
import { broken, endOf, KEY, startCodexTui, type CodexTui } from '../support/terminal.ts';
import { isByChance, tapWire } from '../support/wiretap.ts';

/** Every slash command that the terminal program of Codex offers, and what comes of it with Skein. */

interface Walk {
  /** What tells that it has come. */
  readonly sees: RegExp | string;
  /** Keys that go on from there, and what they bring. */
  readonly next?: readonly (readonly [keys: string, sees: RegExp | string])[];
  /** Keys that close what it has opened. Absent: it has only said something. */
  readonly leave?: string;
  /** What the real app-server does, where it is something else. */
  readonly inCodex?: string;
}

const closes = { leave: KEY.escape };

const WALKS: Readonly<Record<string, Walk>> = {
  // What the terminal program does by itself.
  agents: { sees: 'Task details', ...closes },
  config: { sees: 'Changes save automatically', ...closes },
  copy: { sees: 'Copy whole response', ...closes },
  daemon: { sees: 'Not connected to the local background server', ...closes },
  export: { sees: 'Save the complete conversation as Markdown', ...closes },
  ide: { sees: 'IDE context could not be enabled' },
  keymap: { sees: 'All configurable shortcuts', ...closes },
  mention: { sees: 'Files, directories, plugins, skills and tasks', leave: KEY.ctrlU },
  pets: { sees: 'Pets unavailable', ...closes },
  presets: { sees: 'No presets saved', ...closes },
  ps: { sees: 'No background terminals running' },
  pwd: { sees: 'Current working directory:' },
  raw: { sees: 'Raw output mode on', next: [['/raw', 'Raw output mode off']] },
  rename: { sees: 'Type a name and press Enter', ...closes },
  status: { sees: 'Token usage:' },
  statusline: { sees: 'Configure Status Line', ...closes },
  subagents: { sees: 'Select an agent to watch', ...closes },
  theme: { sees: 'Select Syntax Theme', ...closes },
  title: { sees: 'Configure Terminal Title', ...closes },
  tui: { sees: 'TUI mode for next launch', ...closes },
  vim: { sees: 'Vim mode enabled', next: [['/vim', 'Vim mode disabled']] },
  cd: { sees: 'Changing directories is not supported for remote workspaces' },

  // What Skein answers as the real app-server does.
  approve: { sees: 'No recent auto-review denials in this thread' },
  hooks: { sees: 'Lifecycle hooks from config and enabled plugins', ...closes },
  import: { sees: 'No compatible setup was found to import' },
  init: { sees: endOf('Specific Instructions.') },
  mcp: { sees: 'No MCP servers configured' },
  permissions: { sees: '› 4. Read Only (current)', next: [['1', 'Permission selection requested: Ask for approval']] },
  plugins: { sees: 'No marketplace plugins available', ...closes },
  recap: { sees: 'Could not generate a recap', inCodex: 'The same of a model that does not answer with JSON.' },
  stop: { sees: 'Stopping all background terminals' },

  // What there is none of.
  experimental: { sees: 'No experimental features available for now', ...closes, inCodex: 'Lists its own.' },
  plan: { sees: 'Plan mode unavailable right now', inCodex: 'Has a model plan before it works.' },
  skills: {
    sees: 'Enable/Disable Skills',
    next: [
      [KEY.down, '› 2. Enable/Disable Skills'],
      [KEY.enter, 'No skills available'],
    ],
    inCodex: 'Lists its own.',
  },

  // What Skein does in another way, because the terminal program ends when it is refused.
  review: {
    sees: 'Select a review preset',
    next: [
      [KEY.down, '› 2. Review uncommitted changes'],
      [KEY.enter, endOf('in files that git does not know.')],
    ],
    inCodex: 'Has a model review in a session of its own, between marks that it begins and ends.',
  },

  // What Skein refuses.
  diff: { sees: 'command/exec is not supported by Skein', leave: 'q', inCodex: 'Runs git, and shows what it says.' },
  feedback: {
    sees: 'How was this?',
    next: [
      [KEY.enter, 'Include logs and session history?'],
      [KEY.down, '› 2. No'],
      [KEY.enter, 'Tell us more (bug)'],
      [KEY.enter, 'feedback/upload is not supported by Skein'],
    ],
    inCodex: 'Sends it to its makers.',
  },
  'goal get there': {
    sees: 'Failed to set thread goal',
    inCodex: 'Has the model go on by itself until it says that the goal is reached.',
  },
  memories: {
    sees: 'Enable memories?',
    next: [[KEY.enter, 'config/batchWrite is not supported by Skein']],
    inCodex: 'Writes it into its configuration.',
  },
  voice: {
    sees: 'thread/realtime/listVoices is not supported by Skein',
    inCodex: 'Opens a live connection to a model.',
  },

  // The last one is of the goal: the terminal program shows its refusal without the reason.
  warnings: {
    sees: 'k keep',
    next: [[KEY.right.repeat(5), 'goals are not supported: the model echo cannot work at one by itself']],
    ...closes,
  },
};

/** Methods that these meet a refusal of. */
const REFUSED = [
  'command/exec',
  'config/batchWrite',
  'feedback/upload',
  'thread/goal/set',
  'thread/realtime/listVoices',
  'thread/realtime/stop',
];

/** Commands that leave the thread or the program, and those that have a rule of their own. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  archive: 'TUI-12',
  clear: 'at the end',
  compact: 'TUI-21',
  delete: 'TUI-12',
  exit: 'at the end',
  fork: 'TUI-10',
  logout: 'at the end',
  model: 'TUI-22',
  new: 'TUI-10',
  resume: 'TUI-14',
  side: 'TUI-18',
};

/** The commands that its list shows, which goes round. */
async function offered(tui: CodexTui): Promise<readonly string[]> {
  const selected = (): string => /^› \/([a-z-]+) /m.exec(tui.screen().join('\n'))?.[1] ?? '';
  const found: string[] = [];
  await tui.isReady();
  tui.paste('/');
  await tui.sees(/^› \/[a-z-]+ /m);
  while (!found.includes(selected())) {
    const current = selected();
    found.push(current);
    tui.type(KEY.down);
    await tui.seesNoMore(new RegExp(`^› /${current} `, 'm'));
    await tui.sees(/^› \/[a-z-]+ /m);
  }
  tui.type(KEY.ctrlU);
  await tui.isReady();
  return found.toSorted();
}

async function walks(tui: CodexTui, command: string, { sees, next = [], leave }: Walk): Promise<void> {
  const until = (what: RegExp | string): RegExp => (typeof what === 'string' ? broken(what) : what);
  await tui.say(`/${command}`);
  await tui.sees(until(sees));
  for (const [keys, brings] of next) {
    if (keys.startsWith('/')) await tui.say(keys);
    else tui.type(keys);
    await tui.sees(until(brings));
  }
  if (leave !== undefined) {
    tui.type(leave);
    await tui.seesNoMore(until(next.at(-1)?.[1] ?? sees));
  }
  await tui.isReady();
}

const daemon = sharedDaemon(['--auth', 'none']);

it('TUI-25 every slash command comes to an end, what Skein refuses says so, and the thread goes on', async () => {
  const tap = await tapWire(daemon().url);
  const cwd = tempFolder();
  const tui = startCodexTui(['--remote', tap.url], { cwd });
  await tui.chat('said before');
  const { answer } = await tap.heard('thread/start');
  const known = [...Object.keys(WALKS).map((words) => words.split(' ')[0] ?? ''), ...Object.keys(ELSEWHERE)];
  expect(await offered(tui)).toEqual(known.toSorted());

  for (const [command, walk] of Object.entries(WALKS)) await walks(tui, command, walk);
  await tui.chat('said between');
  const refused = tap.refusals().filter((text) => !isByChance(text));
  expect(new Set(refused.map((text) => text.split(': ')[0]))).toEqual(new Set(REFUSED));
  for (const text of refused) expect(text).toMatch(/not supported/);

  await tui.say('/clear');
  await tui.seesNoMore('said between');
  await tui.chat('said in a new one');
  await tui.say('/logout');
  expect(await tui.ends()).toBe(0);
  const back = startCodexTui(['--remote', tap.url, 'resume', answer?.result.thread.id], { cwd });
  await back.sees(`${ECHO_MARK} said between`);
  await back.chat('said after');
  await back.say('/exit');
  expect(await back.ends()).toBe(0);
});

/** The smallest picture that there is. */
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

it('TUI-26 files are mentioned with @ and images pasted by their paths, and keys that show something lead back', async () => {
  const tap = await tapWire(daemon().url);
  const cwd = tempFolder();
  writeFileSync(join(cwd, 'travels.txt'), '');
  const image = join(cwd, 'map.png');
  writeFileSync(image, Buffer.from(PNG, 'base64'));
  const tui = startCodexTui(['--remote', tap.url], { cwd });
  await tui.chat('said before');
  const { answer } = await tap.heard('thread/start');

  tui.type('?');
  await tui.sees('Keyboard shortcuts');
  tui.type(KEY.escape);
  await tui.seesNoMore('Keyboard shortcuts');
  tui.type('$');
  await tui.sees(/^› \$$/m);
  tui.type(KEY.ctrlU);
  await tui.isReady();
  tui.type(KEY.shiftTab);
  const { params } = await tap.heard('thread/settings/update');
  expect(params.collaborationMode.mode).toBe('default');
  tui.type(KEY.ctrlT);
  await tui.chat('said with all details');
  tui.type(KEY.ctrlT);

  await tui.write('@trav');
  await tui.sees(/› travels\.txt +\.\/ +File/);
  tui.type(KEY.enter);
  await tui.sees(/^› travels\.txt$/m);
  tui.paste('is what I mean');
  await tui.sees('travels.txt is what I mean');
  tui.type(KEY.enter);
  await tui.sees(endOf(`${ECHO_MARK} travels.txt is what I mean`));
  await tui.isReady();
  tui.paste(image);
  await tui.sees('› [Image #1]');
  tui.type(KEY.enter);
  await tui.sees(endOf(`${ECHO_MARK} [Image #1]`));
  expect(await tui.quit()).toBe(0);

  const client = await daemon().connect();
  const turns = { threadId: answer?.result.thread.id, itemsView: 'full' };
  const { data } = await client.call('thread/turns/list', turns);
  const last = data[0].items[0].content.map(({ type }: { type: string }) => type);
  expect(last).toContain('image');
  expect(tap.refusals().filter((text) => !isByChance(text))).toEqual([]);
});
