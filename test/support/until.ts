/** Lets everything that is ready run, until a condition holds. A test that waits in vain runs into its time limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
