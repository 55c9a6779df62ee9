import { closeSync, openSync, readSync } from 'node:fs';
import type { JsonObject } from '../../../domain/json.ts';
import { decodeLine } from '../../../domain/rollout-line.ts';
import type { Segment } from './lineage.ts';
import type { ReadMeter } from './read-meter.ts';
import type { RolloutRow } from './rollout-row.ts';

/** The rollouts that a page reads from, each opened once. */
export class OpenRollouts {
  readonly #meter: ReadMeter;
  readonly #pathOf: (row: RolloutRow) => string;
  readonly #fds = new Map<number, number>();

  constructor(meter: ReadMeter, pathOf: (row: RolloutRow) => string) {
    this.#meter = meter;
    this.#pathOf = pathOf;
  }

  /** The payload of the record at a place; undefined if there is none any more. */
  payload(segment: Segment, offset: number, length: number): JsonObject | undefined {
    const { rollout } = segment;
    const fd = this.#fds.get(rollout.id) ?? openSync(this.#pathOf(rollout), 'r');
    this.#fds.set(rollout.id, fd);
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const count = readSync(fd, buffer, done, length - done, offset + done);
      if (count === 0) return undefined;
      done += count;
    }
    this.#meter.bytesRead += length;
    const decoded = decodeLine(buffer);
    return decoded.ok ? decoded.line.item.payload : undefined;
  }

  close(): void {
    for (const fd of this.#fds.values()) closeSync(fd);
    this.#fds.clear();
  }
}
