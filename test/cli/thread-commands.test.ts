import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { skein } from '../support/skein.ts';

/** One daemon for all: the commands are what is looked at. */
describe('commands about threads', () => {
  const home = mkdtempSync(join(tmpdir(), 'skein-'));
  const run = (...args: readonly string[]): ReturnType<typeof skein> => skein(home, args);

  beforeAll(async () => {
    await run('start');
  });

  afterAll(async () => {
    await run('stop', '--now');
    rmSync(home, { recursive: true, force: true });
  });

  const newThread = async (text: string): Promise<string> => {
    const { lines } = await run('send', '--json', text);
    return lines.find((line) => line.turnId !== undefined).threadId;
  };

  it('CLI-12 send begins a thread, streams the answer to standard output, and the rest to standard error', async () => {
    const sent = await run('send', 'what a day');
    expect(sent).toMatchObject({ code: 0, stdout: `${ECHO_MARK} what a day\n` });
    expect(sent.stderr).toMatch(/^thread [0-9a-f-]{36}\n$/);
  });

  it('CLI-13 send goes on with a thread by id or by name, and reads standard input', async () => {
    const id = await newThread('first');
    await run('thread', 'rename', id, 'a name of its own');
    expect((await run('send', id, 'second')).code).toBe(0);
    const third = await skein(home, ['send', 'a name of its own', '-'], 'from a pipe');
    expect(third).toMatchObject({ code: 0, stdout: `${ECHO_MARK} from a pipe\n` });
    const shown = await run('thread', 'show', id, '--json');
    const said = shown.json.turns.map((turn: { items: { content?: { text: string }[] }[] }) => turn.items[0]?.content);
    expect(said.map((content: { text: string }[]) => content[0]?.text)).toEqual(['first', 'second', 'from a pipe']);
  });

  it('CLI-14 send tells what happens as one notification per line with --json', async () => {
    const { lines } = await run('send', '--json', 'one two');
    const methods = lines.map((line) => line.method).filter((method) => method !== undefined);
    expect(methods).toEqual([
      'thread/status/changed',
      'turn/started',
      'item/started',
      'item/completed',
      'item/started',
      ...Array.from({ length: 7 }, () => 'item/agentMessage/delta'),
      'item/completed',
      'thread/tokenUsage/updated',
      'thread/readState/changed',
      'thread/status/changed',
      'turn/completed',
    ]);
  });

  it('CLI-15 list shows pages, follows them all, filters and sorts', async () => {
    const ids = [];
    for (const text of ['needle one', 'needle two', 'needle three']) ids.push(await newThread(text));
    const page = (await run('thread', 'list', '--json', '--search', 'needle', '--limit', '2')).json;
    expect(page.data.map(({ id }: { id: string }) => id)).toEqual([ids[2], ids[1]]);
    const rest = await run('thread', 'list', '--json', '--search', 'needle', '--cursor', page.nextCursor);
    expect(rest.json.data.map(({ id }: { id: string }) => id)).toEqual([ids[0]]);
    const all = await run('thread', 'list', '--json', '--search', 'needle', '--all', '--sort', 'created', '--reverse');
    expect(all.json.data.map(({ id }: { id: string }) => id)).toEqual(ids);
    const forPeople = await run('thread', 'list', '--search', 'needle');
    expect(forPeople.stdout.split('\n')[0]).toMatch(/^THREAD +UPDATED +STATUS +NAME$/);
    expect(forPeople.stdout).toContain(`${ids[1]}`);
    expect((await run('thread', 'list', '--cwd', '/nowhere')).stdout).toBe('no threads\n');
  });

  it('CLI-16 archive, unarchive, rename, fork and delete do what they say', async () => {
    const id = await newThread('to be handled');
    expect(await run('thread', 'archive', id)).toMatchObject({ code: 0, stdout: `archived ${id}\n` });
    expect((await run('thread', 'list', '--archived')).stdout).toContain(id);
    expect((await run('send', id, 'hello?')).code).toBe(2);
    expect((await run('thread', 'unarchive', id)).code).toBe(0);
    const forked = await run('thread', 'fork', id, '--json');
    expect(forked.json.threadId).not.toBe(id);
    const inUse = await run('thread', 'delete', id, '--yes');
    expect(inUse.code).toBe(2);
    expect(inUse.stderr).toContain('forked history still references it');
    const unasked = await run('thread', 'delete', forked.json.threadId);
    expect(unasked).toMatchObject({ code: 2, stderr: 'skein: nothing was deleted; --yes deletes without asking\n' });
    expect((await run('thread', 'delete', forked.json.threadId, '--yes')).code).toBe(0);
    expect((await run('thread', 'delete', id, '--yes')).code).toBe(0);
    expect((await run('thread', 'show', id)).code).toBe(4);
  });

  it('CLI-17 a name that several threads have is refused with their ids', async () => {
    const ids = [await newThread('twin'), await newThread('twin')];
    for (const id of ids) await run('thread', 'rename', id, 'twins');
    const refused = await run('thread', 'show', 'twins');
    expect(refused.code).toBe(2);
    for (const id of ids) expect(refused.stderr).toContain(id);
    expect((await run('thread', 'show', 'nobody')).code).toBe(4);
  });

  it('CLI-18 an ephemeral thread answers and is stored nowhere', async () => {
    const sent = await run('send', '--ephemeral', 'between us');
    expect(sent.stdout).toBe(`${ECHO_MARK} between us\n`);
    expect((await run('thread', 'list', '--search', 'between us')).stdout).toBe('no threads\n');
  });

  it.each([
    [['send'], 'TEXT is missing'],
    [['send', ''], 'there is nothing to say'],
    [['thread', 'list', '--limit', 'few'], '--limit takes a whole number'],
    [['thread', 'list', '--sort', 'size'], '--sort takes created, updated or recency'],
    [['thread', 'list', '--bogus'], "Unknown option '--bogus'"],
    [['thread', 'rename', 'x'], 'NAME is missing'],
    [['thread', 'rename', 'x', 'y', 'z'], 'too many arguments: z'],
    [['thread'], 'skein thread needs one of: thread list'],
    [['dance'], 'there is no command dance'],
  ])('CLI-19 bad arguments are refused with what to do: %j', async (args, message) => {
    const [refused, asJson] = await Promise.all([run(...args), run(...args, '--json')]);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain(message);
    expect(asJson.json.error).toMatchObject({ exitCode: 2, message: expect.stringContaining(message) });
  });

  it('CLI-20 help tells every command, and each its options', async () => {
    const overview = (await run('help')).stdout;
    const commands = [...overview.matchAll(/^ {2}([a-z-]+(?: [a-z]+)?)/gm)].map(([, name = '']) => name);
    expect(commands.length).toBeGreaterThan(15);
    const helps = await Promise.all(commands.map((name) => run(...name.split(' '), '--help')));
    for (const [index, { code, stdout }] of helps.entries()) {
      expect(code).toBe(0);
      expect(stdout).toContain(`usage: skein ${commands[index]}`);
      expect(stdout).toContain('--json');
    }
    for (const asked of [
      ['thread', '--help'],
      ['thread', 'help'],
      ['help', 'thread'],
    ]) {
      const { code, stdout } = await run(...asked);
      expect(code).toBe(0);
      expect(stdout.split('\n').filter((line) => line.startsWith('  thread '))).toHaveLength(7);
    }
    expect((await run('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('CLI-21 without a daemon commands end with exit code 3 and say how to start one', async () => {
    const elsewhere = `${home}-elsewhere`;
    const commands = [
      ['send', 'x'],
      ['thread', 'list'],
      ['watch', 'x'],
      ['debug', 'snapshot'],
    ];
    for (const refused of await Promise.all(commands.map((args) => skein(elsewhere, args)))) {
      expect(refused.code).toBe(3);
      expect(refused.stderr).toContain('skein start');
    }
  });
});
