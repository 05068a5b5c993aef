import type { TaskRow } from '@taskfleet/protocol'

/** The title of a task; without one the name of its handler. Foreign text: draw it with `<Foreign>`. */
export const taskTitle = ({ title, name }: Pick<TaskRow, 'title' | 'name'>): string => title ?? name
