import koffi from 'koffi';

/** The C library, for the few calls that Node has no binding for. */
export const libc = koffi.load(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6');
