/** What test clients got from Skein that is not of the protocol; a module of its own, because every test asks for it. */
const misfits: string[] = [];

/** Something that Skein has said to a client of this test is not of the protocol. */
export const noteMisfit = (what: string): void => void misfits.push(what);

/** What there was. Empty afterwards. */
export const takeMisfits = (): readonly string[] => misfits.splice(0);
