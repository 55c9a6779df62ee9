import { setTimeout as delay } from 'node:timers/promises';
import { fromPromise, toPromise } from 'xstate';
import pino, { type Logger } from 'pino';
import { daemonMachine } from '../../machines/daemon-machine.ts';
import { daemonFiles, type DaemonInfo } from '../domain/daemon-files.ts';
import { internal, toSkeinError } from '../domain/errors.ts';
import { startActor } from '../runtime/start-actor.ts';
import { closingTimes } from './closing-times.ts';
import type { Config } from './config.ts';
import { exitAtOnce } from './exit-at-once.ts';
import { createLogger, RotatingFile } from './log.ts';
import { openDaemon, type OpenDaemon } from './open-daemon.ts';
import { Releasers } from './releasers.ts';
import { unsavedIn } from './unsaved.ts';

export interface RunDaemonOptions {
  /** Absolute. */
  readonly home: string;
  readonly config: Config;
  /** How it was started, for `skein restart`. */
  readonly args: readonly string[];
  readonly onReady: (info: DaemonInfo) => void;
  /** A running turn is waited for; for whoever sits before the terminal. */
  readonly onDraining: (runningTurns: number) => void;
  /** Closing takes longer than it should; for the same person. */
  readonly onSlowEnd: (closing: string) => void;
}

/** Ctrl-C, `kill`, and the end of the terminal. A second one waits no longer for turns; one that finds the end hanging cuts it off. */
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Runs a daemon until it is told to stop, and ends when everything is closed.
 * @throws what kept it from starting, when everything acquired until then has been given back; what could not be saved or
 *   closed. Calls to the disk that do not come back keep the process for a moment only, then it ends with its exit code.
 */
export async function runDaemon(options: RunDaemonOptions): Promise<void> {
  const { home, config, args, onReady, onDraining, onSlowEnd } = options;
  const times = closingTimes(config.limits.shutdownSeconds);
  let log: Logger = pino({ enabled: false });
  let daemon: OpenDaemon | undefined;
  let starting: Promise<unknown> = Promise.resolve();
  const releasers = new Releasers((message, error) => log.error({ err: error }, message));

  const start = async (signal: AbortSignal): Promise<void> => {
    const openLog = (): { log: Logger; close: () => void } => {
      const file = new RotatingFile(daemonFiles(home).log, config.log.maxFileBytes, config.log.keptFiles);
      log = createLogger(config.log.level, file);
      return { log, close: () => file.close() };
    };
    daemon = await openDaemon({ home, config, args, openLog, releasers, signal });
    const { info } = daemon;
    const { version, listen, socket, auth, model } = info;
    log.info({ version, home, listen, socket, auth, model }, 'serving');
    onReady(info);
  };

  const drain = async (signal: AbortSignal): Promise<void> => {
    daemon?.manager.organization.queues.end();
    daemon?.manager.registry.refuseTurns();
    const running = daemon?.manager.loaded.filter((thread) => thread.states.turn !== 'idle').length ?? 0;
    if (running > 0) {
      log.info({ turns: running }, 'waiting for running turns');
      onDraining(running);
      daemon?.server.warn(
        `The daemon stops when running turns have ended, in ${config.limits.drainSeconds} s at the latest. No others begin until it is back.`,
      );
    }
    await daemon?.manager.registry.whenIdle(signal);
  };

  const close = async (): Promise<void> => {
    // A start that was cut off ends by itself first: what it had acquired must be known.
    await starting.catch(() => {});
    log.info('stopping');
    await releasers.releaseAll();
  };

  const closing = (): string => releasers.current ?? 'what a start has begun';

  const tellSlow = (): void => {
    log.warn({ closing: closing() }, 'the end takes long');
    onSlowEnd(closing());
  };

  const cutOff = async (): Promise<void> => {
    log.error({ closing: closing(), unsaved: unsaved() }, 'the end hangs and is cut off');
    await Promise.race([daemon?.server.close('the daemon has stopped'), delay(times.farewellMs)]);
  };

  const unsaved = (): string | undefined => (daemon === undefined ? undefined : unsavedIn(daemon.manager));

  let crash: unknown;
  const actor = startActor(
    daemonMachine.provide({
      actors: {
        start: fromPromise<void>(({ signal }) => {
          const started = start(signal);
          starting = started;
          return started;
        }),
        drain: fromPromise<void>(({ signal }) => drain(signal)),
        close: fromPromise<void>(close),
        cutOff: fromPromise<void>(cutOff),
      },
      actions: { tellSlow },
    }),
    {
      drainTimeoutMs: config.limits.drainSeconds * 1_000,
      closePatienceMs: times.patienceMs,
      closeTimeoutMs: times.allMs,
    },
    { onCrash: (error) => (crash = error) },
  );
  let hasEnded = false;
  const stop = (): void => {
    if (!hasEnded) actor.send({ type: 'stop' });
  };
  const stopBroken = (error: unknown): void => {
    crash ??= error;
    log.fatal({ err: error }, 'unexpected failure, stopping');
    actor.send({ type: 'stopNow' });
  };
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  // A file that may not grow further (`ulimit -f`) is a write that fails, not the end of the daemon.
  process.on('SIGXFSZ', ignore);
  process.on('uncaughtException', stopBroken);
  try {
    const { startFailure, wasCutOff } = await toPromise(actor);
    // What is left behind then is a call to the disk that does not come back.
    setTimeout(() => exitAtOnce(Number(process.exitCode ?? 0)), wasCutOff ? 0 : times.farewellMs).unref();
    if (startFailure !== null) throw toSkeinError(startFailure, 'the daemon could not start');
    if (crash !== undefined) throw internal('the daemon failed', crash);
    const loss = unsaved();
    if (loss !== undefined) throw internal(loss);
    if (wasCutOff) throw internal(`the end of the daemon hung, and was cut off while it closed ${closing()}`);
  } finally {
    // Signals stay heard until the process is gone: one that comes so late must not make its end look like a failure.
    // So Node's own tear-down, which would let go of them first, is left out.
    hasEnded = true;
    process.once('exit', (code) => process.exit(code));
    process.off('uncaughtException', stopBroken);
  }
}

function ignore(): void {}
