"""The composition: settings from the stack's file, providers, platform."""
