/** What to do next, in words that several messages share. */
export const invalidHint = (command: string): string => `see skein ${command} --help`;

/** The `--home` to add to a command so that it means the same home. */
export const homeHint = (home: string | undefined): string => (home === undefined ? '' : ` --home ${home}`);
