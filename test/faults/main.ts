import { parseArgs } from 'node:util';
import { SKEIN } from '../support/daemon.ts';
import { printProtocolSchemas } from '../support/protocol-schemas.ts';
import { Random } from './random.ts';
import type { Figures, Played, Scenario } from './scenario.ts';
import { diskErrors } from './scenarios/disk-errors.ts';
import { killUnderLoad } from './scenarios/kill-under-load.ts';
import { indexPoints } from './scenarios/index-points.ts';
import { killPoints } from './scenarios/kill-points.ts';
import { namedSeeds } from './scenarios/named-seeds.ts';
import { powerLoss } from './scenarios/power-loss.ts';
import { sabotage } from './scenarios/sabotage.ts';
import { damagedIndex } from './scenarios/damaged-index.ts';
import { foreignWriter } from './scenarios/foreign-writer.ts';
import { shutdown } from './scenarios/shutdown.ts';
import { hostileClients } from './scenarios/hostile-clients.ts';
import { starts } from './scenarios/starts.ts';
import { table } from './table.ts';

const SCENARIOS: readonly Scenario[] = [
  namedSeeds,
  killUnderLoad,
  killPoints,
  indexPoints,
  diskErrors,
  powerLoss,
  sabotage,
  starts,
  damagedIndex,
  foreignWriter,
  hostileClients,
  shutdown,
];

/** Scenarios that are played beside each other. */
const AT_ONCE = 2;

const HELP = `npm run test:faults -- [OPTIONS]

Injects real faults into real daemons, and says what was acknowledged and what of it was found again.
Ends with 1 if anything was lost, or any other promise broken.

  --runs N       how often to inject each fault; without it, as often as fits into three minutes
  --seed S       repeats the choices of a run; what it was stands above the table
  --only A,B     these scenarios alone
  --json         an object a line instead of the table
  --help         this text

Scenarios:
${SCENARIOS.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')}
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string' },
      seed: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const runs = wholeNumber('runs', values.runs);
  const seed = wholeNumber('seed', values.seed) ?? Math.floor(Math.random() * 2 ** 32);
  const chosen = choose(values.only);
  process.stderr.write(`seed ${seed}\n`);
  const played = new Map<Scenario, Played>();
  const playAll = async (waiting: Scenario[]): Promise<void> => {
    for (let scenario = waiting.shift(); scenario !== undefined; scenario = waiting.shift()) {
      const begun = performance.now();
      const figures = await play(scenario, runs, seed);
      const shown = { ...figures, seconds: Math.round((performance.now() - begun) / 1_000) };
      played.set(scenario, shown);
      if (values.json === true)
        process.stdout.write(`${JSON.stringify({ scenario: scenario.name, seed, ...shown })}\n`);
    }
  };
  // They wait for disks, starts and ends more than they work; who measures how long something takes is alone.
  const together = chosen.filter(({ isMeasured }) => isMeasured !== true);
  await Promise.all(Array.from({ length: AT_ONCE }, () => playAll(together)));
  await playAll(chosen.filter(({ isMeasured }) => isMeasured === true));
  const rows = [...played]
    .toSorted(([one], [other]) => chosen.indexOf(one) - chosen.indexOf(other))
    .map(([{ name }, shown]) => [name, shown] as const);
  if (values.json !== true) process.stdout.write(table(rows));
  return rows.every(([, { defects }]) => defects.length === 0) ? 0 : 1;
}

function choose(only: string | undefined): readonly Scenario[] {
  if (only === undefined) return SCENARIOS;
  return only.split(',').map((name) => {
    const scenario = SCENARIOS.find((one) => one.name === name);
    if (scenario === undefined) throw new RangeError(`there is no scenario ${name}; --help lists them`);
    return scenario;
  });
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0)
    throw new RangeError(`--${option} takes a whole number, not ${text}`);
  return number;
}

/** Each scenario has the same choices from a seed, whichever others run beside it. */
async function play(scenario: Scenario, runs: number | undefined, seed: number): Promise<Figures> {
  const cleanUps: (() => void | Promise<void>)[] = [];
  const isTerminal = process.stderr.isTTY;
  const progress = (text: string): void => {
    process.stderr.write(isTerminal ? `\r\x1b[K${scenario.name}: ${text}` : `${scenario.name}: ${text}\n`);
  };
  try {
    const random = new Random(seed);
    return await scenario.run({
      runs,
      random,
      whenDone: (cleanUp) => void cleanUps.push(cleanUp),
      progress,
      main: SKEIN,
    });
  } catch (error) {
    const defects = [`cannot go on: ${String((error as Error).stack)}`];
    return { injected: '', times: 0, acknowledged: 0, found: 0, details: {}, defects };
  } finally {
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
    if (isTerminal) process.stderr.write('\r\x1b[K');
  }
}

const removeSchemas = printProtocolSchemas();
try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(
    `${error instanceof RangeError || error instanceof TypeError ? error.message : String((error as Error).stack)}\n`,
  );
  process.exitCode = 2;
} finally {
  removeSchemas();
}
