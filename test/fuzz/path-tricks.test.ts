import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert, asyncProperty, nat } from 'fast-check';
import { expect, it } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { folderListing } from '../support/folder-listing.ts';
import { TELLS_TOO_MUCH, tricked, TRICKS } from '../support/path-tricks.ts';
import { tempFolder } from '../support/temp-home.ts';
import { trickRequests } from '../support/trick-requests.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';

it(
  'FUZZ-7 whatever stands in the place of an id, a cursor or a path, nothing outside the home is made or changed',
  async () => {
    const base = tempFolder();
    const [home, cwd] = [join(base, 'home'), join(base, 'work')];
    const outside = join(cwd, 'rollout-2026-01-01T00-00-00-0198f1c4-0000-7000-8000-000000000000.jsonl');
    mkdirSync(cwd);
    writeFileSync(outside, '{}\n');
    const daemon = await startDaemon(home, [], undefined, { cwd });
    const client = await daemon.connect();
    const before = folderListing(base, ['home']);
    const tricks = [...TRICKS, outside, join(base, 'skein-was-here')];
    const requests = trickRequests();
    let round = 0;
    // Every method with each of its places, and tricks that meet others of them each time.
    const holds = asyncProperty(nat(tricks.length - 1), async (shift) => {
      round += 1;
      const { thread } = await client.call('thread/start', {});
      await client.turn(thread.id, 'hello');
      const from = client.frames.length;
      for (const [index, request] of requests.entries()) {
        const params = tricked(request, tricks[(index + shift) % tricks.length] ?? '', thread.id);
        client.send(`{"id":"${round}-${index}","method":"${request.method}","params":${params}}`);
      }
      for (const index of requests.keys())
        await client.frame('an answer', ({ id }) => id === `${round}-${index}`, from);
      const told = client.frames.slice(from).map((frame) => JSON.stringify(frame));
      expect(told.filter((text) => TELLS_TOO_MUCH.test(text))).toEqual([]);
      expect(folderListing(base, ['home'])).toEqual(before);
    });
    await assert(holds, runs(3));
    expect(daemon.output()).not.toMatch(/Warning|Error/);
  },
  FUZZ_TIMEOUT_MS,
);
