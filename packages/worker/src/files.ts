/*
 * The files that start in a thread or a process of their own. They are named here, at the top of the sources, because the build puts what
 * several files share at its top: so the paths are right in both.
 */

/** Run from the sources, an isolate must find the library there too, and read TypeScript. */
export const FROM_SOURCES = import.meta.url.endsWith('.ts')
export const RENEWAL_THREAD = new URL('./renewal-thread.js', import.meta.url)
export const ISOLATE_THREAD = new URL('./isolate/thread-main.js', import.meta.url)
export const ISOLATE_PROCESS = new URL('./isolate/process-main.js', import.meta.url)
