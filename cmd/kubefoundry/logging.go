package main

import (
	"fmt"
	"os"
	"sync"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
	"k8s.io/klog/v2"
)

// toKlog is done once in a process: klog has one logger for all, and does not look whether somebody is writing to it.
var toKlog sync.Once

// newLogger logs to standard error: lines for a person on a terminal, JSON elsewhere. client-go's own log goes the same way.
func newLogger(level string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	config := zap.NewProductionConfig()
	config.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	if term.IsTerminal(int(os.Stderr.Fd())) {
		config = zap.NewDevelopmentConfig()
		config.EncoderConfig.EncodeLevel = zapcore.CapitalColorLevelEncoder
		config.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.Development = false
	}
	config.Level = zap.NewAtomicLevelAt(l)
	config.DisableStacktrace = true
	config.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	log, err := config.Build()
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	toKlog.Do(func() {
		klog.SetLogger(zapr.NewLogger(log.Named("kubernetes").WithOptions(zap.IncreaseLevel(max(l, zapcore.WarnLevel)))))
	})
	return log, nil
}
