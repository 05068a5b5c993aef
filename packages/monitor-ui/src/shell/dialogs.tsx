import { lazyRouteComponent } from '@tanstack/react-router'
import { type ComponentType, Suspense } from 'react'

/** Dialogs with forms need the schemas of all requests, so they are loaded after the page. */
const DIALOGS = {
  bulk: lazyRouteComponent(() => import('../components/bulk-dialog.tsx'), 'BulkDialog'),
  callback: lazyRouteComponent(() => import('../components/callback-dialog.tsx'), 'CallbackDialog'),
  edit: lazyRouteComponent(() => import('../components/edit-dialog.tsx'), 'EditDialog'),
  key: lazyRouteComponent(() => import('../components/key-dialog.tsx'), 'KeyDialog'),
  newTask: lazyRouteComponent(() => import('../components/new-task-dialog.tsx'), 'NewTaskDialog'),
  palette: lazyRouteComponent(() => import('./palette.tsx'), 'Palette'),
  queueLimits: lazyRouteComponent(() => import('../components/queue-limits-dialog.tsx'), 'QueueLimitsDialog'),
  replay: lazyRouteComponent(() => import('../components/replay-dialog.tsx'), 'ReplayDialog'),
  schedule: lazyRouteComponent(() => import('../components/schedule-dialog.tsx'), 'ScheduleDialog'),
  sendEvent: lazyRouteComponent(() => import('../components/send-event-dialog.tsx'), 'SendEventDialog'),
}

export async function loadDialogs(): Promise<void> {
  await Promise.all(Object.values(DIALOGS).map((dialog) => dialog.preload?.()))
}

/** The page stays as it is while a dialog is loaded. */
const overPage = <Props extends object>(Loaded: ComponentType<Props>) =>
  function OverPage(props: Props) {
    return (
      <Suspense>
        <Loaded {...props} />
      </Suspense>
    )
  }

export const BulkDialog = overPage(DIALOGS.bulk)
export const CallbackDialog = overPage(DIALOGS.callback)
export const EditDialog = overPage(DIALOGS.edit)
export const KeyDialog = overPage(DIALOGS.key)
export const NewTaskDialog = overPage(DIALOGS.newTask)
export const Palette = overPage(DIALOGS.palette)
export const QueueLimitsDialog = overPage(DIALOGS.queueLimits)
export const ReplayDialog = overPage(DIALOGS.replay)
export const ScheduleDialog = overPage(DIALOGS.schedule)
export const SendEventDialog = overPage(DIALOGS.sendEvent)
