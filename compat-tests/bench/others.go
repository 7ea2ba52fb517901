package main

func (b *bench) idle() error     { return nil }
func (b *bench) start_() error   { return nil }
func (b *bench) longFile() error { return nil }
func (b *bench) stream() error   { return nil }
func (b *bench) kill() error     { return nil }
func (b *bench) spelling() error { return nil }
