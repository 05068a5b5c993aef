import { createRequire } from 'node:module'
import type mongoose from 'mongoose'

const require = createRequire(import.meta.url)

/**
 * mongoose's own copy of the driver, without mongoose, which takes long to load and which most processes don't use. It must be that
 * copy: a fleet can be on a connection of mongoose, and two copies don't accept each other's classes.
 */
export const driver = createRequire(require.resolve('mongoose'))('mongodb') as typeof mongoose.mongo

/** mongoose itself, loaded at the first call. */
export const loadMongoose = (): typeof mongoose => require('mongoose') as typeof mongoose
