/** The name of a priority. */
export function priorityName(priority: number): string {
  if (priority >= 10) return 'top'
  if (priority >= 8) return 'high'
  if (priority >= 4) return 'medium'
  return 'low'
}
