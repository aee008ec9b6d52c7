"""What a user may write, and how it is read: files -> tree -> rewrites -> merge -> a frozen `Workflow`."""
